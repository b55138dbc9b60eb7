# Of the lines of run.sh, the report of `make bench-real`: a table of the best times in milliseconds, geometric means,
# whether each program gave the same at all levels, and the promises of SPEC.md; and the same as JSON in the file `json`.
# Variables: programs, computing, levels (words), runs (after the first), promises (1: check them), json.
# Exit status 1: a result differs or is missing, or a promise is missed.
function best(table, key, us) {
    if (!(key in table) || us < table[key])
        table[key] = us
}
function ms(table, level, program) {
    return (level, program) in table ? sprintf("%.1f", table[level, program] / 1000) : "-"
}
function ratio(a, b) {
    return a == "-" || b == "-" || b == 0 ? "-" : sprintf("%.2f", a / b)
}
# The geometric mean of what two levels took, over the programs of a list that both ran.
function mean(table_a, a, table_b, b, list,    names, n, i, sum, count) {
    n = split(list, names, " ")
    sum = count = 0
    for (i = 1; i <= n; i++)
        if ((a, names[i]) in table_a && (b, names[i]) in table_b) {
            sum += log(table_a[a, names[i]] / table_b[b, names[i]])
            count++
        }
    return count ? sprintf("%.2f", exp(sum / count)) : "-"
}
# The largest of those ratios, and whose it is in `worst`.
function largest(table_a, a, table_b, b, list,    names, n, i, r, most) {
    n = split(list, names, " ")
    most = "-"
    for (i = 1; i <= n; i++)
        if ((a, names[i]) in table_a && (b, names[i]) in table_b) {
            r = table_a[a, names[i]] / table_b[b, names[i]]
            if (most == "-" || r > most) {
                most = r
                worst = names[i]
            }
        }
    return most == "-" ? "-" : sprintf("%.2f", most)
}
function known(name) {
    return name in value ? value[name] : "-"
}
function promise(text, value, limit, who) {
    verdict = value == "-" ? "MISSED (not measured)" : value + 0 <= limit ? "kept" : "MISSED"
    if (verdict != "kept")
        missed = 1
    printf "%-66s %8s  limit %-5s %s%s\n", text, value, limit, verdict, verdict == "MISSED" && who ? ": " who : ""
    verdicts = verdicts sprintf("%s\n    {\"promise\": \"%s\", \"value\": %s, \"limit\": %s, \"kept\": %s}",
                                verdicts == "" ? "" : ",", text, value == "-" ? "null" : value, limit,
                                verdict == "kept" ? "true" : "false")
}
$1 == "NB" && $2 == "real" && NF == 7 {
    level = tolower($3)
    if ($5 == "first")
        best(first, level SUBSEP $4, $6)
    else
        best(again, level SUBSEP $4, $6)
    if (!($4 in sum))
        sum[$4] = $7
    else if (sum[$4] != $7 && !(($4, level) in differs)) {
        differs[$4, level] = 1
        problems[++problem] = $4 " at level " level " gave something else than at the level before it"
    }
}
$1 == "NB" && $2 == "real" && $5 == "failed:" {
    problems[++problem] = substr($0, 9)
}
$1 == "NB" && $2 == "bench" && NF == 4 { # a value of its own: name, number
    value[$3] = $4
}
END {
    count = split(programs, name, " ")
    levels_count = split(levels, level_name, " ")
    printf "%-14s", "again, ms"
    for (k = 1; k <= levels_count; k++)
        printf " %9s", level_name[k]
    printf "  %9s %9s %9s %9s %9s\n", "l1/native", "l2/native", "tcg/nat.", "l1 first", "same"
    for (i = 1; i <= count; i++) {
        p = name[i]
        printf "%-14s", p
        for (k = 1; k <= levels_count; k++) {
            printf " %9s", ms(again, level_name[k], p)
            if (!((level_name[k], p) in first) || (runs && !((level_name[k], p) in again)))
                problems[++problem] = p " has no time at level " level_name[k]
            json_row = json_row sprintf("%s{\"program\": \"%s\", \"level\": \"%s\", \"first_ms\": %s, \"again_ms\": %s}",
                                        json_row == "" ? "\n    " : ",\n    ", p, level_name[k],
                                        (level_name[k], p) in first ? ms(first, level_name[k], p) : "null",
                                        (level_name[k], p) in again ? ms(again, level_name[k], p) : "null")
        }
        same = "yes"
        for (k = 1; k <= levels_count; k++)
            if ((p, level_name[k]) in differs)
                same = "NO"
        n = ms(again, "native", p)
        printf "  %9s %9s %9s %9s %9s\n", ratio(ms(again, "l1", p), n), ratio(ms(again, "l2", p), n),
            ratio(ms(again, "tcg", p), n), ratio(ms(first, "l1", p), ms(again, "l1", p)), same
    }
    printf "%-14s", "geometric mean"
    for (k = 1; k <= levels_count; k++)
        printf " %9s", ""
    printf "  %9s %9s %9s %9s\n\n", mean(again, "l1", again, "native", programs), mean(again, "l2", again, "native", programs),
        mean(again, "tcg", again, "native", programs), mean(first, "l1", again, "l1", programs)
    if (promises) {
        promise("L1, of native: geometric mean", mean(again, "l1", again, "native", programs), 1.7)
        promise("L2, of native: geometric mean", mean(again, "l2", again, "native", programs), 1.9)
        promise("L1, of native: the slowest program that computes",
                largest(again, "l1", again, "native", computing), 1.4, worst)
        promise("L2, of native: the slowest program that computes",
                largest(again, "l2", again, "native", computing), 1.4, worst)
        promise("L1, of native: the slowest program", largest(again, "l1", again, "native", programs), 5, worst)
        promise("L1, of native: 300 times fork and exec", ratio(ms(again, "l1", "shell"), ms(again, "native", "shell")), 4)
        promise("L1, of TCG: the slowest program", largest(again, "l1", again, "tcg", programs), 1, worst)
        promise("first start in L1, of the second: geometric mean", mean(first, "l1", again, "l1", programs), 1.7)
        promise("boot of L1, of TCG's", "boot-l1" in value ? ratio(value["boot-l1"], value["boot-tcg"]) : "-", 0.35)
        promise("two vCPUs with twice the work of one, of its time", known("smp"), 1.11)
        promise("four VMs beside each other, of the time of their share", known("four"), 1.1)
        promise("memory beyond the guest's own, MiB", known("memory"), 256)
    } else
        for (v in value)
            printf "%-24s %s\n", v, value[v]
    for (i = 1; i <= problem; i++)
        print "PROBLEM: " problems[i]
    printf "{\"geometric_means\": {" > json
    sep = ""
    for (k = 1; k <= levels_count; k++)
        if (level_name[k] != "native" && mean(again, level_name[k], again, "native", programs) != "-") {
            printf "%s\"%s\": %s", sep, level_name[k], mean(again, level_name[k], again, "native", programs) > json
            sep = ", "
        }
    printf "},\n\"times\": [%s\n],\n\"promises\": [%s\n],\n\"same\": %s}\n", json_row, verdicts,
        problem ? "false" : "true" > json
    exit missed || problem
}
