# shellcheck shell=bash
# The programs of `make bench-real`, sourced by run.sh at each level: `run_NAME` is what is measured, in an empty
# folder; what it prints, and the files named out*, must be the same at each level. `set_up_NAME` comes before it and is
# not measured; `show_NAME` picks what counts of what it printed. Data is in /real/data, made by prepare.py.
# `computing`: those for which the promises are stricter.

programs='python-start python perl gcc cc1 link sqlite node-start node-jit shell git rsa prime sha256 aes make xz unxz
gzip bc sort awk grep sed tar find diff web pgbench edit'
computing='python cc1 sqlite node-jit sha256 xz'

data=/real/data

run_python-start() {
    for i in 1 2 3 4; do python3 -c "import json, re, argparse, subprocess, urllib.request; print($i)"; done
}
run_python() { python3 $data/compute.py; }
run_perl() { perl $data/words.pl $data/text1; }
run_gcc() { gcc -O2 -c $data/one.c -o out.o; }
run_cc1() { /usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -imultiarch x86_64-linux-gnu -O2 $data/large.c -o out.s; }
set_up_link() {
    cp $data/project/*.c . && gcc -c ./*.c
}
run_link() {
    for i in 1 2 3 4; do gcc -o "out$i" ./*.o && "./out$i"; done
}
run_sqlite() { sqlite3 :memory: <$data/script.sql; }
run_node-start() {
    for i in 1 2 3; do node -e "console.log($i, process.version)"; done
}
run_node-jit() { node $data/compute.js; }
run_shell() {
    for i in {1..300}; do /usr/bin/printf '%d ' "$i"; done
}
set_up_git() {
    export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' HOME=/tmp
    git config --global user.name test && git config --global user.email test@localhost
}
run_git() {
    git init -q -b main one
    cp -r $data/project one/
    for i in 2 3 4 5 6; do
        sed -i "s/LIMIT .*/LIMIT $i/" one/project/m$i.c
        split -n "l/40" $data/text1 "one/$i."
        git -C one add -A
        git -C one commit -q -m "commit $i"
    done
    git clone -q --no-local one two
    git -C two log --stat | cat
    git -C two diff HEAD~2 HEAD -- project
    git -C two status --short
    git -C two rev-parse HEAD
}
run_rsa() { # RSA of 4096 bits, and the starts of the program
    for i in 1 2 3 4 5 6; do
        openssl dgst -sha256 -sign $data/key.pem -out "out$i" $data/one.c
        openssl dgst -sha256 -prverify $data/key.pem -signature "out$i" $data/one.c
    done
}
run_prime() { openssl prime -checks 60 -hex "$(openssl rsa -in $data/key.pem -noout -text 2>/dev/null |
    awk '/^prime1/ { on = 1; next } /^prime2/ { on = 0 } on { gsub(/[: ]/, ""); printf "%s", $0 }')"; }
run_sha256() { openssl dgst -sha256 /tmp/large; }
run_aes() {
    openssl enc -aes-256-cbc -K 00010203040506070809 -iv 01 -in /tmp/large 2>/dev/null | openssl dgst -sha256
}
run_make() {
    mkdir o && make -s -f $data/many.mk && cat o/*.c | sort -n
}
run_xz() { head -c 400000 $data/text1 | xz -6 -T1 -c >out.xz; }
run_unxz() { xz -dc $data/text16.xz >out; }
run_gzip() { gzip -n -6 -c $data/text1 >out.gz && gzip -dc out.gz | gzip -n -1 >out1.gz; }
run_bc() { echo 'scale=500; 4*a(1); e(1); for (i = 1; i < 200; i++) j = j * 3 + i^20; j' | bc -l; }
run_sort() { sort $data/text4 >out && sort -k2,2 -k1,1n $data/text1 | uniq -f 1 -c >out1; }
run_awk() { gawk '{ for (i = 2; i <= NF; i++) n[$i] += $1 } END { for (w in n) print w, n[w] }' $data/text4 | sort; }
run_grep() { grep -cE '^[0-9]+ .*(kate|mi[a-z]+so) .*[0-9]?(zu|han)$' $data/text16; grep -c -F bel $data/text16; }
run_sed() { sed -E 's/([a-z]+) ([a-z]+)/\2 \1/g; /^1/d; y/abc/ABC/' $data/text1 >out; }
run_tar() {
    tar -C /usr/lib -cf all.tar python3.11/json python3.11/asyncio python3.11/email gcc/x86_64-linux-gnu/12/include \
        git-core/mergetools
    mkdir out_ && tar -C out_ -xf all.tar && tar -tf all.tar | sort && find out_ -type f | sort | xargs cat | wc
}
run_find() { find /usr/lib /usr/share -type f -name '*.p[ylm]' | sort | xargs wc -c | tail -n 1; }
set_up_diff() { sed 's/^1\(.*\)/2\1 new/; /^77/d' $data/text4 >changed; }
run_diff() { diff $data/text4 changed >out || :; }

# A web server and its client, on loopback.
set_up_web() {
    mkdir -p /tmp/web/logs && cp $data/text1 /tmp/web/large.txt && echo hello >/tmp/web/index.html
    cat >/tmp/web/nginx.conf <<'END'
pid /tmp/web/pid;
error_log /tmp/web/logs/error;
worker_processes 1;
events { worker_connections 256; }
http {
    access_log /tmp/web/logs/access;
    client_body_temp_path /tmp/web/body;
    proxy_temp_path /tmp/web/proxy;
    fastcgi_temp_path /tmp/web/fastcgi;
    uwsgi_temp_path /tmp/web/uwsgi;
    scgi_temp_path /tmp/web/scgi;
    server { listen 127.0.0.1:8080; root /tmp/web; }
}
END
    pgrep -x nginx >/dev/null || nginx -c /tmp/web/nginx.conf -e /tmp/web/logs/error
}
run_web() {
    ab -q -n 1500 -c 8 http://127.0.0.1:8080/index.html
    ab -q -k -n 60 -c 4 http://127.0.0.1:8080/large.txt
}
show_web() { grep -E '^(Complete|Failed|Document Length|HTML transferred)'; }

# PostgreSQL, which keeps nothing on a disk here. One client with a seed makes the same transactions each time.
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
set_up_pgbench() {
    [ -e /tmp/pg/base ] || {
        cp -a /real/pg /tmp/pg
        (cd /tmp/pg && as_postgres /usr/lib/postgresql/15/bin/pg_ctl -s -w -t 300 -D /tmp/pg -l /tmp/pg/log start)
    }
    as_postgres pgbench -h /tmp/pg -i -q -s 1 postgres >/dev/null 2>&1
}
run_pgbench() {
    as_postgres pgbench -h /tmp/pg -n -c 1 -t 300 --random-seed=7 postgres 2>&1
    as_postgres pgbench -h /tmp/pg -n -S -c 4 -t 100 --random-seed=7 postgres 2>&1
    as_postgres psql -h /tmp/pg -At postgres -c 'SELECT sum(abalance), count(*) FROM pgbench_accounts' \
        -c 'SELECT sum(delta), count(*) FROM pgbench_history'
}
show_pgbench() { grep -vE '^(latency|initial|tps|pgbench)'; }

# Editing, compiling and testing, again and again.
set_up_edit() { cp $data/project/* .; }
run_edit() {
    for i in 2 3; do
        sed -i "s/#define LIMIT .*/#define LIMIT 1$i/" m$i.c
        make -s test
    done
}
