// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A pod that was granted an AF_XDP socket and means harm. Each mode has a session of its own:
//
//     hostile attempts SOCKET ADDRESS PORT     tries all that must be refused; {"attempt": "outcome"}
//     hostile garbage SOCKET ADDRESS PORT      writes garbage all over the rings for 2 s
//     hostile starve SOCKET ADDRESS PORT       never offers a frame; then receives by the kernel
//
// Prints events, one a line, and its outcome as JSON at the end.
#define main client_main
#include "../../../agent/examples/afxdp-client/afxdp_client.c"
#undef main

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <net/if.h>

static int memfd = -1;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void await(int descriptor) {
    struct pollfd one = {.fd = descriptor, .events = POLLIN};
    if (poll(&one, 1, 10000) <= 0)
        die("nothing came in time");
}

// Has a session, with nothing in its rings yet. An earlier one may take a moment to end.
static void grant(struct client *client) {
    struct message message;
    int descriptors[2];
    for (double end = now() + 10;;) {
        call(client);
        if (client->channel < 0)
            die("connect");
        await(client->channel);
        if (hear(client->channel, &message, descriptors) == BODY(granted))
            break;
        if (now() > end)
            die("no grant");
        close_channel(client);
    }
    memfd = dup(descriptors[0]);
    if (open_socket(client, &message.granted, descriptors[0], descriptors[1]) < 0)
        die("map");
    event("granted");
}

// Until then it answers what comes by the kernel: else nothing would go past it.
static void await_steered(struct client *client, uint32_t steered) {
    struct message message;
    int descriptors[2];
    for (double end = now() + 10; now() < end;) {
        struct pollfd fds[] = {{.fd = client->udp, .events = POLLIN},
                               {.fd = client->channel, .events = POLLIN}};
        poll(fds, 2, 50);
        receive_udp(client);
        if (hear(client->channel, &message, descriptors) == BODY(steered) &&
            message.steered == steered) {
            event("steered %s", steered != 0 ? "true" : "false");
            return;
        }
    }
    die("no word of steering");
}

// ---- Attempts.

static const char *outcome(long result) {
    return result < 0 ? strerrorname_np(errno) : "ok";
}

static const char *new_socket(void) {
    return outcome(socket(AF_XDP, SOCK_RAW, 0));
}

static const char *bind_elsewhere(int socket, uint32_t first, uint32_t queue, uint16_t flags) {
    // Every interface of the node has a number below.
    for (uint32_t index = first; index < 256; index++) {
        struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
                                       .sxdp_ifindex = index,
                                       .sxdp_queue_id = queue,
                                       .sxdp_flags = flags};
        int bound = bind(socket, (struct sockaddr *)&address, sizeof address);
        if (bound == 0 || errno != EBUSY)
            return outcome(bound);
    }
    return "EBUSY";
}

static const char *ring(int socket, int option) {
    uint32_t entries = 64;
    return outcome(setsockopt(socket, SOL_XDP, option, &entries, sizeof entries));
}

static const char *register_umem(int socket) {
    static uint8_t memory[65536] __attribute__((aligned(4096)));
    struct xdp_umem_reg region = {
        .addr = (uintptr_t)memory, .len = sizeof memory, .chunk_size = 2048};
    return outcome(setsockopt(socket, SOL_XDP, XDP_UMEM_REG, &region, sizeof region));
}

// What a child dies of that touches the page behind the memory.
static const char *touch_beyond(off_t size) {
    pid_t child = fork();
    if (child == 0) {
        uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, size);
        if (page == MAP_FAILED)
            _exit(1);
        *(volatile uint8_t *)page = 1;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "ok";
}

static const char *send_by(int socket) {
    char frame[64] = {0};
    return outcome(sendto(socket, frame, sizeof frame, MSG_DONTWAIT, NULL, 0));
}

static const char *interfaces(int socket) {
    struct ifreq list[16];
    struct ifconf conf = {.ifc_len = sizeof list, .ifc_req = list};
    return outcome(ioctl(socket, SIOCGIFCONF, &conf));
}

static void say_outcome(const char *name, const char *outcome, bool last) {
    printf("\"%s\":\"%s\"%s", name, outcome, last ? "}\n" : ",");
}

enum { HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };

static void attempts(struct client *client) {
    off_t size = (off_t)client->umem_length;
    int socket = client->socket;
    putchar('{');
    say_outcome("bind_elsewhere", bind_elsewhere(socket, 1, 0, XDP_COPY), false);
    say_outcome("bind_another_queue", bind_elsewhere(socket, 1, 1, XDP_COPY), false);
    say_outcome("bind_zero_copy", bind_elsewhere(socket, 1, 0, XDP_ZEROCOPY), false);
    say_outcome("new_socket", new_socket(), false);
    say_outcome("tx_ring", ring(socket, XDP_TX_RING), false);
    say_outcome("rx_ring", ring(socket, XDP_RX_RING), false);
    say_outcome("fill_ring", ring(socket, XDP_UMEM_FILL_RING), false);
    say_outcome("completion_ring", ring(socket, XDP_UMEM_COMPLETION_RING), false);
    say_outcome("register_umem", register_umem(socket), false);
    say_outcome("send", send_by(socket), false);
    say_outcome("grow", outcome(ftruncate(memfd, size + 4096)), false);
    say_outcome("grow_by_writing", outcome(pwrite(memfd, "x", 1, size)), false);
    say_outcome("shrink", outcome(ftruncate(memfd, size - 4096)), false);
    say_outcome("seal", outcome(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE)), false);
    say_outcome("punch", outcome(fallocate(memfd, HOLE, 0, size)), false);
    say_outcome("touch_beyond", touch_beyond(size), false);
    say_outcome("node_namespace", outcome(ioctl(socket, SIOCGSKNS)), false);
    say_outcome("node_interfaces", interfaces(socket), true);
}

// ---- Garbage.

static void scribble(const struct ring *ring, uint64_t *state) {
    uint64_t *words = ring->memory;
    for (size_t at = 0; at < ring->length / sizeof *words; at++) {
        // Never the fill ring's producer: see below.
        if ((void *)(words + at) == (void *)ring->producer)
            continue;
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        ((volatile uint64_t *)words)[at] = *state;
    }
}

// How far the kernel goes through a fill ring that names no frame is for the owner of the ring to
// say, and it does not pause: 2^31 entries held a CPU for about four seconds. This asks for `step` entries
// each millisecond.
static void garbage(struct client *client, double seconds, uint32_t step) {
    uint64_t state = 1, rounds = 0;
    double begin = now();
    for (; now() - begin < seconds; rounds++) {
        scribble(&client->fill, &state);
        scribble(&client->receive, &state);
        if (rounds % 64 == 0)
            receive_udp(client);
        uint32_t far = (uint32_t)((now() - begin) * 1000) * step;
        __atomic_store_n(client->fill.producer, client->fill.next + far, __ATOMIC_RELEASE);
        __atomic_store_n(client->receive.producer, (uint32_t)state, __ATOMIC_RELEASE);
    }
    printf("{\"rounds\":%" PRIu64 "}\n", rounds);
}

// ---- Hunger.

static void starve(struct client *client) {
    double begin = now();
    await_steered(client, 0);
    double until = now() - begin;
    while (!stopped) {
        struct pollfd udp = {.fd = client->udp, .events = POLLIN};
        poll(&udp, 1, 50);
        receive_udp(client);
    }
    printf("{\"unsteered_after\":%.3f,\"kernel_packets\":%" PRIu64 "}\n", until,
           client->kernel_packets);
}

int main(int argc, char **argv) {
    struct client client = {.frames = 256, .channel = -1, .socket = -1, .udp = -1};
    if (argc != 5 || !parse_endpoint(argv[3], argv[4], &client.endpoint))
        return usage("MODE SOCKET ADDRESS PORT");
    const char *mode = argv[1];
    client.broker = argv[2];
    client.udp = open_udp(&client.endpoint);
    struct sigaction end = {.sa_handler = stop};
    sigaction(SIGTERM, &end, NULL);
    grant(&client);
    if (strcmp(mode, "attempts") == 0) {
        attempts(&client);
        return 0;
    }
    bool starves = strcmp(mode, "starve") == 0;
    if (!starves)
        prime(&client);
    say_ready(&client);
    await_steered(&client, 1);
    if (starves)
        starve(&client);
    else
        garbage(&client, 2, 1024);
    return 0;
}
