// relay PID_A PID_B MS: joins the networks of two processes by a cable of which every packet takes MS milliseconds.
//
// The cable is a TUN device called "cable" in each network; addresses and routes are the caller's. Prints "ready".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct packet { struct packet *next; long long due; int size; char data[]; };

static void must(int good, const char *what) {
    if (!good) { perror(what); exit(1); }
}

static int tun(const char *pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    int network = open(path, O_RDONLY);
    must(network >= 0 && setns(network, CLONE_NEWNET) == 0, "setns");
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);  // belongs to the network in which its name is given
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strcpy(request.ifr_name, "cable");
    must(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0, "tun");
    must(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) == 0, "offload");  // large packets pass as they are
    return fd;
}

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int count, char **args) {
    must(count == 4, "relay PID_A PID_B MS");
    int home = open("/proc/self/ns/net", O_RDONLY);
    struct pollfd ends[2] = {{.events = POLLIN}, {.events = POLLIN}};
    ends[0].fd = tun(args[1]);
    must(setns(home, CLONE_NEWNET) == 0, "setns");
    ends[1].fd = tun(args[2]);
    long long delay = atof(args[3]) * 1e6;
    struct packet *first[2] = {0}, *last[2] = {0};  // under way from each end
    static char buffer[70000];
    puts("ready");
    fflush(stdout);
    for (;;) {
        long long time = now(), until = time + 1000000000LL;
        for (int i = 0; i < 2; i++) {
            while (first[i] && first[i]->due <= time) {
                struct packet *p = first[i];
                if (write(ends[1 - i].fd, p->data, p->size) < 0 && errno != EAGAIN && errno != EIO) perror("write");
                first[i] = p->next;
                free(p);
            }
            if (first[i] && first[i]->due < until) until = first[i]->due;
        }
        long long left = until - now();
        if (left < 0) left = 0;
        struct timespec wait = {left / 1000000000LL, left % 1000000000LL};
        ppoll(ends, 2, &wait, NULL);
        for (int i = 0; i < 2; i++) {
            for (int size; (size = read(ends[i].fd, buffer, sizeof buffer)) > 0;) {
                struct packet *p = malloc(sizeof *p + size);
                must(p != NULL, "memory");
                *p = (struct packet){0, now() + delay, size};
                memcpy(p->data, buffer, size);
                if (first[i]) last[i]->next = p; else first[i] = p;
                last[i] = p;
            }
        }
    }
}
