/*
 * The init of a guest that uses its real-time clock: reads it, waits for updates, periodic interrupts and alarms by
 * /dev/rtc0 and by wakealarm, and is woken by an alarm out of "freeze". Prints a line per check and powers off.
 */
#include "init.h"

#include <linux/rtc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define WAKEALARM "/sys/class/rtc/rtc0/wakealarm"
#define LIMIT_MS 20000 /* for an interrupt that is due within three seconds */

static int rtc;

static void report(const char *what, bool good)
{
    printf("rtc: %s %s, at %.2f s\n", what, good ? "ok" : "FAILED", now());
    fflush(stdout);
}

static time_t read_time(void)
{
    struct rtc_time t = {0};
    if (ioctl(rtc, RTC_RD_TIME, &t))
        return -1;
    return timegm(&(struct tm){.tm_sec = t.tm_sec,
                               .tm_min = t.tm_min,
                               .tm_hour = t.tm_hour,
                               .tm_mday = t.tm_mday,
                               .tm_mon = t.tm_mon,
                               .tm_year = t.tm_year});
}

static struct rtc_time broken_down(time_t t)
{
    struct tm tm;
    gmtime_r(&t, &tm);
    return (struct rtc_time){tm.tm_sec, tm.tm_min, tm.tm_hour, tm.tm_mday, tm.tm_mon, tm.tm_year, 0, 0, 0};
}

/* Waits for `count` interrupts of the kind `flag` (RTC_UF, RTC_PF, RTC_AF). */
static bool interrupts(unsigned long flag, unsigned long count)
{
    unsigned long seen = 0;
    while (seen < count) {
        struct pollfd p = {.fd = rtc, .events = POLLIN};
        unsigned long data;
        if (poll(&p, 1, LIMIT_MS) != 1 || read(rtc, &data, sizeof(data)) != sizeof(data))
            return false;
        if (!(data & flag))
            return false;
        seen += data >> 8;
    }
    return true;
}

static void updates(void)
{
    bool good = !ioctl(rtc, RTC_UIE_ON) && interrupts(RTC_UF, 1);
    double begin = now();
    time_t first = read_time();
    good = good && interrupts(RTC_UF, 2);
    report("updates", good && read_time() - first >= 2 && now() - begin > 1.5);
    report("no more updates", !ioctl(rtc, RTC_UIE_OFF));
}

static void periodic(void)
{
    double begin = now();
    bool good = !ioctl(rtc, RTC_IRQP_SET, 64) && !ioctl(rtc, RTC_PIE_ON) && interrupts(RTC_PF, 64);
    report("periodic", good && now() - begin > 0.9);
    report("no longer periodic", !ioctl(rtc, RTC_PIE_OFF));
}

/* The alarm in hours, minutes and seconds; then one with a date. */
static void alarms(void)
{
    time_t due = read_time() + 2;
    struct rtc_time t = broken_down(due);
    bool good = !ioctl(rtc, RTC_ALM_SET, &t) && !ioctl(rtc, RTC_AIE_ON) && interrupts(RTC_AF, 1);
    report("alarm", good && read_time() >= due);
    report("no more alarms", !ioctl(rtc, RTC_AIE_OFF));

    struct rtc_wkalrm alarm = {.enabled = 1, .time = broken_down(read_time() + 3 * 86400)}, back = {0};
    good = !ioctl(rtc, RTC_WKALM_SET, &alarm) && !ioctl(rtc, RTC_WKALM_RD, &back);
    report("an alarm in three days", good && back.enabled && back.time.tm_mday == alarm.time.tm_mday);
    report("an alarm in three days that is taken back", !ioctl(rtc, RTC_AIE_OFF));
}

/* An alarm comes in three seconds; after it the file is empty again. */
static void wakealarm(void)
{
    double begin = now();
    bool good = !put(WAKEALARM, "+3");
    for (double end = now() + LIMIT_MS / 1000; good && now() < end; usleep(100000)) {
        char text[32];
        int fd = open(WAKEALARM, O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text));
        close(fd);
        if (n <= 0)
            break;
    }
    report("wakealarm", good && now() - begin > 1.5 && now() - begin < LIMIT_MS / 1000);
}

static void freeze(void)
{
    double begin = now();
    bool good = !put(WAKEALARM, "+3");
    printf("rtc: freezes\n");
    fflush(stdout);
    good = good && !put("/sys/power/state", "freeze");
    report("woken", good && now() - begin > 1.5 && now() - begin < LIMIT_MS / 1000);
}

int main(int argc, char **argv)
{
    mkdir("/sys", 0755);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    rtc = open("/dev/rtc0", O_RDONLY);
    time_t t = read_time();
    report("time", t != -1 && labs((long)(time(NULL) - t)) <= 2);
    updates();
    periodic();
    alarms();
    close(rtc);
    wakealarm();
    freeze();
    power_off("rtc: done");
    return 0;
}
