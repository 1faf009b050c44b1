/* Plug-in of qemu's user-mode emulation: counts the program's instructions, part by part.
 *
 *     cc -shared -fPIC -o count_instructions.so count_instructions.c
 *     qemu-aarch64 -plugin ./count_instructions.so,out=FILE ...
 *
 * A program says which part it is in with getpgid(-1 - part), which does nothing: no process has a
 * negative number. It starts in part 0. At its end FILE holds one number per part. All blocks add
 * to one counter, without a lock: only counts of a single thread are exact.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Debian has no header for this: the few declarations of version 1 (qemu 5 to 8) used here. */
typedef uint64_t Plugin;
struct qemu_plugin_tb;
struct qemu_info_t;
enum { ADD_U64 = 0, AARCH64_GETPGID = 155, PARTS = 16 };
typedef void OnBlock(Plugin, struct qemu_plugin_tb *);
typedef void OnCall(Plugin, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                    uint64_t, uint64_t, uint64_t);
typedef void OnEnd(Plugin, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(Plugin, OnBlock *);
void qemu_plugin_register_vcpu_syscall_cb(Plugin, OnCall *);
void qemu_plugin_register_atexit_cb(Plugin, OnEnd *, void *);

int qemu_plugin_version = 1;
int qemu_plugin_install(Plugin, const struct qemu_info_t *, int, char **);

static uint64_t counted, counted_before, in_part[PARTS];
static unsigned part;
static char out[4096];

static void on_block(Plugin id, struct qemu_plugin_tb *block)
{
    (void)id;
    uint64_t size = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &counted, size);
}

static void enter(unsigned next)
{
    in_part[part] += counted - counted_before;
    counted_before = counted;
    part = next;
}

static void on_call(Plugin id, unsigned cpu, int64_t number, uint64_t argument, uint64_t b,
                    uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    int32_t process = (int32_t)argument;
    if (number == AARCH64_GETPGID && process < 0 && process >= -PARTS)
        enter((unsigned)(-1 - process));
}

static void on_end(Plugin id, void *unused)
{
    (void)id, (void)unused;
    enter(part);
    FILE *file = fopen(out, "w");
    for (int i = 0; file && i < PARTS; i++)
        fprintf(file, "%" PRIu64 "\n", in_part[i]);
    if (!file || fclose(file))
        fprintf(stderr, "count_instructions: %s cannot be written\n", out);
}

int qemu_plugin_install(Plugin id, const struct qemu_info_t *info, int n, char **options)
{
    (void)info;
    if (n != 1 || strncmp(options[0], "out=", 4) || strlen(options[0] + 4) >= sizeof(out)) {
        fprintf(stderr, "count_instructions: expected the option out=FILE\n");
        return 1;
    }
    strcpy(out, options[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
