// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Receives UDP of one endpoint by AF_XDP, without any privilege: an AF_XDP socket from the node's
// STOQ agent, and an ordinary UDP socket beside it. The protocol is in docs/afxdp-protocol.md.
//
//     cc -O2 -Wall -Wextra -Werror -o afxdp_client afxdp_client.c
//
// What a server adds: in packet(), its own parser; instead of the echo in receive_udp(), its own
// answers. Answers always leave by the UDP socket.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

// ---- Messages: one packet of a SOCK_SEQPACKET socket each, little-endian, without padding.

enum { HELLO = 1, GRANTED = 2, REFUSED = 3, READY = 4, STEERED = 5, RESUME = 6 };
enum { VERSION = 1, FRAME_SIZE = 2048, TEXT = 120 };
enum { BUSY = 6 }; // of the reasons below

struct header {
    char magic[4];
    uint16_t version, type;
    uint32_t length;
} __attribute__((packed));

struct endpoint {
    uint8_t address[16]; // IPv4 as ::ffff:a.b.c.d
    uint16_t port, zero;
} __attribute__((packed));

struct memory {
    uint32_t frames, frame_size, fill, receive;
} __attribute__((packed));

struct grant {
    uint64_t session;
    struct memory memory;
} __attribute__((packed));

struct message {
    struct header header;
    union {
        struct {
            struct endpoint endpoint;
            struct memory memory;
        } __attribute__((packed)) hello;
        struct grant granted;
        struct {
            uint16_t reason, length;
            char text[TEXT];
        } __attribute__((packed)) refused;
        uint32_t steered;
        struct {
            struct endpoint endpoint;
            struct grant granted;
        } __attribute__((packed)) resume;
    } __attribute__((packed));
} __attribute__((packed));

#define BODY(member) sizeof(((struct message *)0)->member)
_Static_assert(sizeof(struct header) == 12, "header");
_Static_assert(offsetof(struct message, hello) == 12, "bodies follow the header");
_Static_assert(BODY(hello) == 36 && BODY(granted) == 24 && BODY(refused) == 124, "bodies");
_Static_assert(BODY(steered) == 4 && BODY(resume) == 44, "bodies");
_Static_assert(offsetof(struct message, hello.memory) == 32, "Hello");
_Static_assert(offsetof(struct message, granted.memory) == 20, "Granted");
_Static_assert(offsetof(struct message, resume.granted) == 32, "Resume");

static const char *const REASONS[] = {
    "?",    "Malformed",    "Version", "NoEndpoint", "NotYours", "Disabled",
    "Busy", "NotSupported", "NoMemory"};

// ---- What this program has.

struct ring {
    uint32_t *producer, *consumer;
    void *entries;
    uint32_t size, next; // next: our own index, free-running
    void *memory;
    size_t length;
};

struct client {
    const char *broker;
    struct endpoint endpoint;
    uint32_t frames;
    int channel, socket, udp; // -1: there is none
    bool resuming;
    struct grant granted;
    uint8_t *umem;
    size_t umem_length;
    struct ring fill, receive;
    uint64_t packets, bytes, kernel_packets, kernel_bytes, strange;
};

static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void event(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void event(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

// ---- Rings. The kernel writes the other index of each; acquire and release order the entries.

static int map_ring(int socket, off_t page, const struct xdp_ring_offset *at, uint32_t size,
                    size_t entry, struct ring *ring) {
    size_t length = at->desc + size * entry;
    uint8_t *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, page);
    if (memory == MAP_FAILED)
        return -1;
    *ring = (struct ring){
        .producer = (uint32_t *)(memory + at->producer),
        .consumer = (uint32_t *)(memory + at->consumer),
        .entries = memory + at->desc,
        .size = size,
        .memory = memory,
        .length = length,
    };
    return 0;
}

// Offers a frame to the kernel, seen once fill_publish() is called. The ring has room for all frames.
static void fill_push(struct ring *fill, uint64_t frame) {
    ((uint64_t *)fill->entries)[fill->next++ & (fill->size - 1)] = frame;
}

static void fill_publish(struct ring *fill) {
    __atomic_store_n(fill->producer, fill->next, __ATOMIC_RELEASE);
}

// ---- Packets.

// An Ethernet frame as the wire brought it, but for its destination MAC, which is the relay's. It
// may be addressed to a front end of this endpoint, and its UDP checksum may be partial.
static void packet(struct client *client, const uint8_t *frame, uint32_t length) {
    (void)frame;
    client->packets++;
    client->bytes += length;
}

// Takes what has come, and gives each frame back as soon as its packet is dealt with.
static void receive_frames(struct client *client) {
    struct ring *receive = &client->receive;
    uint32_t size = le32toh(client->granted.memory.frame_size);
    uint32_t filled = __atomic_load_n(receive->producer, __ATOMIC_ACQUIRE);
    if (receive->next == filled)
        return;
    while (receive->next != filled) {
        struct xdp_desc *entries = receive->entries;
        struct xdp_desc one = entries[receive->next++ & (receive->size - 1)];
        uint64_t frame = one.addr & ~(uint64_t)(size - 1);
        if (one.addr >= client->umem_length || one.addr - frame + one.len > size) {
            client->strange++;
            continue;
        }
        packet(client, client->umem + one.addr, one.len);
        fill_push(&client->fill, frame);
    }
    __atomic_store_n(receive->consumer, receive->next, __ATOMIC_RELEASE);
    fill_publish(&client->fill);
}

// The first packets of a flow, and one of each `readmitAfter`, come by the kernel. A flow that is
// never answered is never admitted to the AF_XDP socket.
static void receive_udp(struct client *client) {
    char bytes[65536];
    struct sockaddr_storage from;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(client->udp, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        if (got < 0)
            return;
        client->kernel_packets++;
        client->kernel_bytes += (uint64_t)got;
        sendto(client->udp, bytes, (size_t)got, 0, (struct sockaddr *)&from, length);
    }
}

// ---- The session.

static void say(int channel, uint16_t type, struct message *message, size_t body, int descriptor) {
    memcpy(message->header.magic, "STOQ", 4);
    message->header.version = htole16(VERSION);
    message->header.type = htole16(type);
    message->header.length = htole32((uint32_t)body);
    struct iovec bytes = {message, sizeof message->header + body};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr packet = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (descriptor >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof control;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    }
    // A broken connection shows when it is read.
    (void)sendmsg(channel, &packet, MSG_NOSIGNAL);
}

static void say_ready(struct client *client) {
    struct message ready = {0};
    say(client->channel, READY, &ready, 0, -1);
}

static void close_socket(struct client *client) {
    if (client->socket < 0)
        return;
    munmap(client->fill.memory, client->fill.length);
    munmap(client->receive.memory, client->receive.length);
    munmap(client->umem, client->umem_length);
    close(client->socket);
    client->socket = -1;
}

static void close_channel(struct client *client) {
    if (client->channel >= 0)
        close(client->channel);
    client->channel = -1;
}

// Connects; says Resume with the socket if there is one, Hello otherwise.
static void call(struct client *client) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, client->broker, sizeof address.sun_path - 1);
    int channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (channel < 0 || connect(channel, (struct sockaddr *)&address, sizeof address) < 0) {
        if (channel >= 0)
            close(channel);
        return;
    }
    fcntl(channel, F_SETFL, O_NONBLOCK);
    client->channel = channel;
    struct message message = {0};
    client->resuming = client->socket >= 0;
    if (client->resuming) {
        message.resume.endpoint = client->endpoint;
        message.resume.granted = client->granted;
        say(channel, RESUME, &message, sizeof message.resume, client->socket);
    } else {
        message.hello.endpoint = client->endpoint;
        message.hello.memory = (struct memory){htole32(client->frames), htole32(FRAME_SIZE),
                                               htole32(client->frames), htole32(client->frames)};
        say(channel, HELLO, &message, sizeof message.hello, -1);
    }
}

// Maps what was granted. Takes over the descriptors.
static int open_socket(struct client *client, const struct grant *granted, int memfd, int socket) {
    uint32_t frames = le32toh(granted->memory.frames);
    uint32_t size = le32toh(granted->memory.frame_size);
    struct xdp_mmap_offsets at;
    socklen_t length = sizeof at;
    client->umem_length = (size_t)frames * size;
    client->umem =
        mmap(NULL, client->umem_length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    close(memfd);
    if (client->umem == MAP_FAILED ||
        getsockopt(socket, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length) < 0 ||
        map_ring(socket, (off_t)XDP_UMEM_PGOFF_FILL_RING, &at.fr, le32toh(granted->memory.fill),
                 sizeof(uint64_t), &client->fill) < 0 ||
        map_ring(socket, XDP_PGOFF_RX_RING, &at.rx, le32toh(granted->memory.receive),
                 sizeof(struct xdp_desc), &client->receive) < 0)
        return -1;
    client->socket = socket;
    client->granted = *granted;
    return 0;
}

// Offers the kernel every frame.
static void prime(struct client *client) {
    uint32_t size = le32toh(client->granted.memory.frame_size);
    for (uint64_t frame = 0; frame < le32toh(client->granted.memory.frames); frame++)
        fill_push(&client->fill, frame * size);
    fill_publish(&client->fill);
}

// The next message and up to two descriptors: bytes of its body, -1 if there is none now, -2 at the end.
static ssize_t hear(int channel, struct message *message, int descriptors[2]) {
    struct iovec bytes = {message, sizeof *message};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct msghdr packet = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    descriptors[0] = descriptors[1] = -1;
    ssize_t got = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&packet) : NULL;
    if (rights != NULL && rights->cmsg_type == SCM_RIGHTS)
        memcpy(descriptors, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
    ssize_t body = got - (ssize_t)sizeof message->header;
    bool whole = body >= 0 && memcmp(message->header.magic, "STOQ", 4) == 0 &&
                 le16toh(message->header.version) == VERSION &&
                 le32toh(message->header.length) == (size_t)body;
    return whole ? body : -2;
}

// Does what a message asks for. Returns an exit code, or 0 to go on.
static int answer(struct client *client, const struct message *message, int descriptors[2]) {
    switch (le16toh(message->header.type)) {
    case GRANTED:
        // After Resume, what there is goes on.
        if (!client->resuming) {
            if (open_socket(client, &message->granted, descriptors[0], descriptors[1]) < 0) {
                perror("afxdp_client: use what was granted");
                return 1;
            }
            prime(client);
        }
        event("%s session=%" PRIx64 " frames=%u frame_size=%u fill=%u receive=%u",
              client->resuming ? "resumed" : "granted", le64toh(client->granted.session),
              le32toh(client->granted.memory.frames), le32toh(client->granted.memory.frame_size),
              client->fill.size, client->receive.size);
        say_ready(client);
        return 0;
    case STEERED:
        event("steered %s", message->steered != 0 ? "true" : "false");
        // The rings are primed, so it may try again.
        if (message->steered == 0)
            say_ready(client);
        return 0;
    case REFUSED: {
        unsigned reason = le16toh(message->refused.reason), text = le16toh(message->refused.length);
        event("refused %u %s: %.*s", reason,
              reason < sizeof REASONS / sizeof *REASONS ? REASONS[reason] : "?",
              (int)(text < TEXT ? text : TEXT), message->refused.text);
        close_channel(client);
        close_socket(client);
        // What an earlier agent granted is gone, but this one may grant anew; and the session of a
        // process that has just died takes a moment to end.
        return client->resuming || reason == BUSY ? 0 : 3;
    }
    default:
        event("strange message of type %u", le16toh(message->header.type));
        return 1;
    }
}

static int listen_to_agent(struct client *client) {
    struct message message;
    int descriptors[2], code = 0;
    while (client->channel >= 0 && code == 0) {
        ssize_t body = hear(client->channel, &message, descriptors);
        if (body == -1)
            return 0;
        if (body == -2) {
            // The agent died. The socket goes on: packets come, and the next agent resumes it.
            event("cut");
            close_channel(client);
            return 0;
        }
        code = answer(client, &message, descriptors);
    }
    return code;
}

// Until `seconds` or `count` packets are over; an exit code.
static int run(struct client *client, double seconds, uint64_t count) {
    const double retry = 0.1;
    double end = now() + seconds, next = 0;
    while (!stopped && now() < end && client->packets + client->kernel_packets < count) {
        if (client->channel < 0 && now() >= next) {
            next = now() + retry;
            call(client);
        }
        // A descriptor of -1 is ignored.
        struct pollfd fds[] = {{.fd = client->socket, .events = POLLIN},
                               {.fd = client->udp, .events = POLLIN},
                               {.fd = client->channel, .events = POLLIN}};
        if (poll(fds, 3, 50) < 0)
            continue;
        if (fds[0].revents & POLLERR) {
            // ENETDOWN: the relay is gone, and the socket with it is good for nothing. Start over.
            event("down");
            close_channel(client);
            close_socket(client);
            continue;
        }
        if (client->socket >= 0)
            receive_frames(client);
        receive_udp(client);
        int code = listen_to_agent(client);
        if (code != 0)
            return code;
    }
    return 0;
}

// ---- The command line.

static const char HELP[] =
    "Usage: afxdp_client SOCKET ADDRESS PORT [--frames N] [--seconds S] [--count N]\n"
    "\n"
    "Receives UDP at ADDRESS and PORT, by an AF_XDP socket from the STOQ agent's broker at SOCKET,\n"
    "and echoes what comes by the kernel. Prints events, one a line, and at the end its counts as JSON.\n"
    "\n"
    "  --frames N   frames to ask for, of 2048 bytes or more, a power of two from 64 to 65536 (4096)\n"
    "  --seconds S  end after this time\n"
    "  --count N    end after this many packets\n"
    "  --help       show this\n"
    "\n"
    "Exit code: 0 at the end or on SIGTERM, 1 on an error, 2 for a wrong command line, 3 if refused\n"
    "for another reason than Busy, which passes.\n"
    "\n"
    "Examples:\n"
    "  afxdp_client /run/stoq/afxdp.sock 10.244.1.10 4433\n"
    "  afxdp_client /run/stoq/afxdp.sock fd00:244:1::10 4433 --frames 16384 --seconds 10\n";

static int usage(const char *what) {
    fprintf(stderr, "afxdp_client: %s; see --help\n", what);
    return 2;
}

// A UDP socket at the endpoint, as any server has.
static int open_udp(const struct endpoint *endpoint) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(le16toh(endpoint->port))};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
    bool is_v4 = memcmp(endpoint->address, mapped, sizeof mapped) == 0;
    memcpy(&v4.sin_addr, endpoint->address + 12, 4);
    memcpy(&v6.sin6_addr, endpoint->address, 16);
    const struct sockaddr *address = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    int udp = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp >= 0 && bind(udp, address, is_v4 ? sizeof v4 : sizeof v6) == 0)
        return udp;
    perror("afxdp_client: open the UDP socket");
    return -1;
}

// IPv4 is mapped; 0 if it is no address and port.
static int parse_endpoint(const char *address, const char *port, struct endpoint *endpoint) {
    char *end;
    unsigned long number = strtoul(port, &end, 10);
    *endpoint = (struct endpoint){.address = {[10] = 0xff, [11] = 0xff}};
    endpoint->port = htole16((uint16_t)number);
    bool parsed = inet_pton(AF_INET, address, endpoint->address + 12) == 1 ||
                  inet_pton(AF_INET6, address, endpoint->address) == 1;
    return parsed && *end == '\0' && number > 0 && number < 65536;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"frames", required_argument, NULL, 'f'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct client client = {.frames = 4096, .channel = -1, .socket = -1, .udp = -1};
    double seconds = 1e12;
    uint64_t count = UINT64_MAX;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'f':
            client.frames = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            seconds = strtod(optarg, NULL);
            break;
        case 'c':
            count = strtoull(optarg, NULL, 10);
            break;
        case 'h':
            fputs(HELP, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (argc - optind != 3)
        return usage("SOCKET, ADDRESS and PORT are needed");
    if (client.frames < 64 || client.frames > 65536 || (client.frames & (client.frames - 1)) != 0)
        return usage("--frames is a power of two from 64 to 65536");
    client.broker = argv[optind];
    if (!parse_endpoint(argv[optind + 1], argv[optind + 2], &client.endpoint))
        return usage("ADDRESS and PORT are an IP address and a number from 1 to 65535");
    if ((client.udp = open_udp(&client.endpoint)) < 0)
        return 1;
    struct sigaction end = {.sa_handler = stop};
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    int code = run(&client, seconds, count);
    printf("{\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"kernel_packets\":%" PRIu64
           ",\"kernel_bytes\":%" PRIu64 ",\"strange\":%" PRIu64 "}\n",
           client.packets, client.bytes, client.kernel_packets, client.kernel_bytes, client.strange);
    return code;
}
