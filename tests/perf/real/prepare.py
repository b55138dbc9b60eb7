#!/usr/bin/python3
# Makes the data that the programs of `make bench-real` work on, in the folder that is its argument: the same bytes each
# time. It runs once, natively, in the file tree.
import os
import sys

os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
state = 1


def number(below):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % below


def write(name, text):
    with open(name, 'w') as f:
        f.write(text)


syllables = 'ka te mi so ru na po li de ga ve zu han tor sim bel'.split()
words = [''.join(syllables[number(16)] for _ in range(1 + number(4))) for _ in range(6000)]


def text(size):
    lines, n = [], 0
    while n < size:
        # Few words are frequent, as in a language.
        line = ' '.join(words[number(number(6000) + 1)] for _ in range(6 + number(8)))
        lines.append('%d %s\n' % (number(1000000), line))
        n += len(lines[-1])
    return ''.join(lines)


mega = text(1 << 20)
write('text1', mega)
write('text4', text(4 << 20))
write('text16', ''.join(text(2 << 20) for _ in range(2)) + mega * 12)
with open('bytes', 'wb') as f:
    f.write(b''.join(number(2**31).to_bytes(4, 'little') for _ in range(1 << 20)))


# C: functions with loops, switches, structs, floating point and calls of each other.
def c_module(m, count):
    out = ['#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n#include <ctype.h>\n',
           'struct row%d { long key; double weight; char name[16]; struct row%d *next; };\n' % (m, m)]
    for i in range(count):
        f = 'f%d_%d' % (m, i)
        out.append('long %s(long a, long b, const struct row%d *r)\n{\n    long sum = a * %d + b;\n' %
                   (f, m, 3 + number(1000)))
        out.append('    for (long i = 0; i < (b & %d) + 3; i++) {\n        switch ((a + i) %% %d) {\n' %
                   (15 + number(16), 4 + number(5)))
        for k in range(4):
            out.append('        case %d: sum += (a << %d) ^ (i * %d); break;\n' % (k, 1 + number(5), number(9999)))
        out.append('        default: sum -= i / (%d + (b & 7)) + (long)strlen(r ? r->name : "none");\n        }\n    }\n' %
                   (1 + number(50)))
        out.append('    for (const struct row%d *p = r; p; p = p->next)\n        sum += p->key %% %d '
                   '+ (long)(p->weight * %d.5);\n' % (m, 2 + number(99), number(50)))
        if i:
            out.append('    if (sum & %d)\n        sum ^= f%d_%d(sum >> 3, b - 1 > 0 ? b - 1 : 0, r ? r->next : r);\n' %
                       (1 << number(6), m, number(i)))
        out.append('    return sum;\n}\n')
    return ''.join(out)


write('one.c', c_module(0, 20))
write('large.c', c_module(1, 15))
# A project for make: modules, a main program, and a test.
os.makedirs('project', exist_ok=True)
modules = range(2, 8)
for m in modules:
    write('project/m%d.c' % m, '#define LIMIT 20\n' + c_module(m, 3) +
          'long run%d(void)\n{\n    struct row%d r = {7, 1.5, "row", 0};\n    long sum = 0;\n'
          '    for (long i = 0; i < LIMIT; i++)\n        sum += f%d_2(i, i + 1, &r);\n    return sum;\n}\n' % (m, m, m))
write('project/main.c', '#include <stdio.h>\n' + ''.join('long run%d(void);\n' % m for m in modules) +
      'int main(void)\n{\n' + ''.join('    printf("%d %%ld\\n", run%d());\n' % (m, m) for m in modules) +
      '    return 0;\n}\n')
write('project/Makefile', 'OBJ := main.o %s\nprogram: $(OBJ)\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O1 -c -o $@ $<\n'
      'test: program\n\t./program\n' % ' '.join('m%d.o' % m for m in modules))
# One for make itself: many small targets in a chain of rules.
write('many.mk', 'N := %s\nall: $(N:%%=o/%%.c)\n' % ' '.join(str(i) for i in range(60)) +
      'o/%.a:\n\techo $* >$@\n' + 'o/%.b: o/%.a\n\tcp $< $@\n' + 'o/%.c: o/%.b\n\tcat $< $< >$@\n')

rows = ''.join("INSERT INTO item VALUES(%d,'%s',%d,%d);\n" % (i, words[number(6000)], number(1000), number(100000))
               for i in range(12000))
write('script.sql', 'CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, kind INT, price INT);\nBEGIN;\n' + rows +
      'COMMIT;\nCREATE INDEX by_name ON item(name);\nCREATE INDEX by_kind ON item(kind, price);\n'
      'SELECT kind % 10, count(*), sum(price) FROM item GROUP BY 1 ORDER BY 1;\n'
      'SELECT a.name, count(*), max(b.price) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id '
      'GROUP BY a.name ORDER BY 2 DESC, 1 LIMIT 20;\n'
      'UPDATE item SET price = price + 1 WHERE kind < 500;\n'
      "DELETE FROM item WHERE name LIKE '%ka%';\nSELECT count(*), sum(price) FROM item;\n")

write('compute.py', '''
import json, re, hashlib
def primes(n):
    sieve = bytearray([1]) * (n + 1)
    for i in range(2, int(n ** .5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, n + 1, i)))
    return [i for i in range(2, n + 1) if sieve[i]]
class Body:
    def __init__(self, x, v, m): self.x, self.v, self.m = x, v, m
bodies = [Body([i * 1.5, i * .5 - 1, i % 3], [.1 * i, .2, -.1], 1 + i) for i in range(5)]
def step(dt):
    for i, a in enumerate(bodies):
        for b in bodies[i + 1:]:
            d = [p - q for p, q in zip(a.x, b.x)]
            f = dt / (sum(c * c for c in d) + .01) ** 1.5
            for k in range(3):
                a.v[k] -= d[k] * b.m * f
                b.v[k] += d[k] * a.m * f
    for a in bodies:
        a.x = [p + dt * q for p, q in zip(a.x, a.v)]
for _ in range(1500): step(.001)
print(sum(primes(300000)), ['%.9f' % c for b in bodies for c in b.x])
words = {}
for line in open('/real/data/text1').readlines()[:8000]:
    for w in line.split()[1:]: words[w] = words.get(w, 0) + 1
text = json.dumps(sorted(words.items(), key=lambda p: (-p[1], p[0])))
print(len(json.loads(text)), hashlib.sha256(text.encode()).hexdigest(), len(re.findall(r'"(ka|te)\\\\w+"', text)))
''')
write('compute.js', '''
function matrix(n) {
    const a = new Float64Array(n * n), b = new Float64Array(n * n), c = new Float64Array(n * n);
    for (let i = 0; i < n * n; i++) { a[i] = i % 7; b[i] = i % 11; }
    for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) {
            let s = 0;
            for (let k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
            c[i * n + j] = s;
        }
    return c.reduce((x, y) => x + y, 0);
}
class Tree {
    constructor(depth) { if (depth) { this.left = new Tree(depth - 1); this.right = new Tree(depth - 1); } }
    count() { return this.left ? 1 + this.left.count() + this.right.count() : 1; }
}
let hash = 2166136261, trees = 0;
for (let i = 0; i < 2e7; i++) hash = Math.imul(hash ^ (i & 255), 16777619) >>> 0;
for (let i = 0; i < 12; i++) trees += new Tree(14).count();
const map = new Map();
for (let i = 0; i < 300000; i++) { const k = 'k' + (i * 7919 % 5000); map.set(k, (map.get(k) || 0) + i); }
const sorted = [...map].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
console.log(matrix(200), hash, trees, sorted.length, sorted[0], JSON.stringify(sorted).length);
''')
write('words.pl', '''
my (%n, %len, $caps);
while (<>) {
    my ($id, @w) = split;
    $n{$_}++ for @w;
    $len{length $_} += $id for @w;
    $caps++ while /\\b(ka|te|mi)(\\w*)(so|ru)\\b/g;
    s/([aeiou])(\\w)/$2$1/g;
    $len{0} ^= unpack '%32C*', $_;
}
print "$_ $n{$_}\\n" for (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0 .. 50];
print "$_ $len{$_}\\n" for sort { $a <=> $b } keys %len;
print "$caps\\n";
''')
