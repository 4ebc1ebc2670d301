/* SPDX-License-Identifier: BSD-3-Clause */
/* cpus.c: how many CPUs this process may use. Two limits count: the CPUs that it may be scheduled on (affinity:
 * taskset, cpusets, batch systems) and the time that it may spend on them (a cgroup quota: containers). The machine's
 * own number is neither. Whatever file is missing or odd sets no limit. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, CPU_ALLOC */
#endif
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fastloss.h"

#if defined(__linux__)
#include <errno.h>
#include <sched.h>

/* CPUs in the calling thread's mask, or 0. The kernel refuses a mask smaller than its own, so grow until it fits. */
static int mask_cpus(void) {
    enum { MOST = 1 << 20 };
    for (int room = 1024; room <= MOST; room *= 2) {
        cpu_set_t *mask = CPU_ALLOC(room);
        const size_t bytes = CPU_ALLOC_SIZE(room);
        if (mask == NULL) {
            return 0;
        }
        CPU_ZERO_S(bytes, mask);
        const int failed = sched_getaffinity(0, bytes, mask);
        const int too_small = failed && errno == EINVAL;
        const int cpus = failed ? 0 : CPU_COUNT_S(bytes, mask);
        CPU_FREE(mask);
        if (!too_small) {
            return cpus;
        }
    }
    return 0;
}
#else
static int mask_cpus(void) {
    return 0;
}
#endif

int fl_affinity_cpus(void) {
    int cpus = mask_cpus();
    if (cpus < 1) {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online < 1 ? 1 : online > INT_MAX ? INT_MAX : (int)online;
    }
    /* OMP_PROC_BIND and OMP_PLACES pin this thread to its own place; the runtime knows what the process may use. */
    const int bound = fl_runtime_bound_cpus();
    return bound > cpus ? bound : cpus;
}

/* A file name. One that does not fit names nothing that exists. */
typedef struct {
    char text[PATH_MAX];
} path;

/* 1 if the formatted name fits. */
static int join(path *p, const char *a, const char *b, const char *c) {
    const int n = snprintf(p->text, sizeof p->text, "%s%s%s", a, b, c);
    return n >= 0 && (size_t)n < sizeof p->text;
}

/* First line of a file, without its end; 1 if there is one. */
static int read_line(const char *name, char *line, int room) {
    FILE *f = fopen(name, "re");
    if (f == NULL) {
        return 0;
    }
    const int ok = fgets(line, room, f) != NULL;
    fclose(f);
    if (ok) {
        line[strcspn(line, "\n")] = '\0';
    }
    return ok;
}

/* quota / period in CPUs; 0 (no limit) unless both are positive. */
static double ratio(long long quota, long long period) {
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* v2: cpu.max holds "QUOTA PERIOD", QUOTA a number of microseconds or "max". */
static double group_cpus_v2(const char *group) {
    path file;
    char line[128];
    long long quota, period = 100000;
    if (!join(&file, group, "/cpu.max", "") || !read_line(file.text, line, sizeof line)) {
        return 0;
    }
    return sscanf(line, "%lld %lld", &quota, &period) >= 1 ? ratio(quota, period) : 0;
}

/* v1: a file each, quota -1 for none. */
static double group_cpus_v1(const char *group) {
    path file;
    char line[128];
    long long quota, period;
    if (!join(&file, group, "/cpu.cfs_quota_us", "") || !read_line(file.text, line, sizeof line) ||
        sscanf(line, "%lld", &quota) != 1) {
        return 0;
    }
    if (!join(&file, group, "/cpu.cfs_period_us", "") || !read_line(file.text, line, sizeof line) ||
        sscanf(line, "%lld", &period) != 1) {
        return 0;
    }
    return ratio(quota, period);
}

static double tighter(double a, double b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* 1 if the comma-separated `list` holds `word`. */
static int lists(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0')) {
            return 1;
        }
    }
    return 0;
}

/* This process's group in the v2 hierarchy, or in the v1 hierarchy that has the cpu controller, from the lines
 * "ID:CONTROLLERS:PATH" of /proc/self/cgroup, where v2 has ID 0 and no controllers. 1 if found. */
static int own_group(const char *root, int v2, path *group) {
    path file;
    FILE *f = join(&file, root, "/proc/self/cgroup", "") ? fopen(file.text, "re") : NULL;
    char *line = NULL;
    size_t room = 0;
    int found = 0;
    while (f != NULL && !found && getline(&line, &room, f) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *name = controllers ? strchr(controllers + 1, ':') : NULL;
        if (name == NULL) {
            continue;
        }
        *controllers++ = '\0';
        *name++ = '\0';
        const int is_it = v2 ? strcmp(line, "0") == 0 && *controllers == '\0' : lists(controllers, "cpu");
        found = is_it && join(group, name, "", "");
    }
    free(line);
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *s) {
    char *to = s;
    while (*s != '\0') {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* Where a cgroup file system is mounted: its line of mountinfo, cut up in place. */
typedef struct {
    char *top;   /* the group that the mount shows as its root */
    char *point; /* where */
    int v2;
} mount;

/* "ID PARENT MAJOR:MINOR TOP POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS". 1 if it can limit CPU time. */
static int parse_mount(char *line, mount *m) {
    char *field[5] = {0}, *save = NULL, *rest = strstr(line, " - ");
    if (rest == NULL) {
        return 0;
    }
    *rest = '\0';
    char *at = strtok_r(line, " ", &save);
    for (int i = 0; i < 5 && at != NULL; i++, at = strtok_r(NULL, " ", &save)) {
        field[i] = at;
    }
    char *type = strtok_r(rest + 3, " ", &save), *source = strtok_r(NULL, " ", &save);
    char *options = strtok_r(NULL, " \n", &save);
    if (field[4] == NULL || type == NULL || source == NULL) {
        return 0;
    }
    m->top = field[3];
    m->point = field[4];
    m->v2 = strcmp(type, "cgroup2") == 0;
    unescape(m->top);
    unescape(m->point);
    return m->v2 || (strcmp(type, "cgroup") == 0 && options != NULL && lists(options, "cpu"));
}

/* The part of `group` below the mount's top, "" for the top itself; NULL if the mount shows another part. */
static const char *below(const char *group, const char *top) {
    const size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(group, top, n) != 0 || (group[n] != '/' && group[n] != '\0') || strstr(group, "/..") != NULL) {
        return NULL;
    }
    return strcmp(group + n, "/") == 0 ? "" : group + n;
}

/* The tightest quota from the process's own group up to the mount's top: each of them binds. */
static double mount_cpus(const char *root, const mount *m, const char *group) {
    path dir;
    if (!join(&dir, root, m->point, group)) {
        return 0;
    }
    const size_t top = strlen(root) + strlen(m->point);
    double cpus = 0;
    for (;;) {
        cpus = tighter(cpus, m->v2 ? group_cpus_v2(dir.text) : group_cpus_v1(dir.text));
        char *last = strrchr(dir.text + top, '/');
        if (last == NULL) {
            return cpus;
        }
        *last = '\0';
    }
}

double fl_cgroup_cpus(const char *root) {
    path file, group[2];
    const int in_group[2] = {own_group(root, 0, &group[0]), own_group(root, 1, &group[1])};
    FILE *f = join(&file, root, "/proc/self/mountinfo", "") ? fopen(file.text, "re") : NULL;
    char *line = NULL;
    size_t room = 0;
    double ours = 0, other[2] = {0, 0};
    int seen[2] = {0, 0};
    while (f != NULL && getline(&line, &room, f) > 0) {
        mount m;
        if (!parse_mount(line, &m) || !in_group[m.v2]) {
            continue;
        }
        const char *inside = below(group[m.v2].text, m.top);
        if (inside != NULL) {
            seen[m.v2] = 1;
            ours = tighter(ours, mount_cpus(root, &m, inside));
        } else {
            other[m.v2] = tighter(other[m.v2], mount_cpus(root, &m, ""));
        }
    }
    free(line);
    if (f != NULL) {
        fclose(f);
    }
    /* In some containers our path and the mounts are told from different roots: then a mount's top is best guess. */
    for (int v2 = 0; v2 < 2; v2++) {
        ours = seen[v2] ? ours : tighter(ours, other[v2]);
    }
    return ours;
}

/* Part of a CPU counts as one: a quota of 1.5 keeps two threads busy for three quarters of the time. */
static int usable_now(void) {
    const int affinity = fl_affinity_cpus();
    const double quota = fl_cgroup_cpus("");
    if (quota == 0 || quota >= affinity) {
        return affinity;
    }
    const int whole = (int)quota;
    return whole < quota ? whole + 1 : whole;
}

int fl_usable_cpus(void) {
    static atomic_int cached;
    int cpus = atomic_load_explicit(&cached, memory_order_relaxed);
    if (cpus == 0) {
        cpus = usable_now();
        atomic_store_explicit(&cached, cpus, memory_order_relaxed);
    }
    return cpus;
}
