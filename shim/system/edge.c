#define _GNU_SOURCE
#include "edge.h"

#include <errno.h>
#include <linux/openat2.h>
#include <linux/reboot.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

int edge_mount(const char *source, const char *target, const char *fstype, unsigned long flags, const char *options)
{
	return result(mount(source, target, fstype, flags, options));
}

int edge_umount(const char *target, int flags)
{
	return result(umount2(target, flags));
}

int edge_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };

	return result(syscall(SYS_openat2, directory, path, &how, sizeof(how)));
}

int edge_finit_module(int fd, const char *parameters, int flags)
{
	return result(syscall(SYS_finit_module, fd, parameters, flags));
}

int edge_kexec_load(uint64_t entry, const struct edge_segment *segments, size_t count, uint64_t flags)
{
	return result(syscall(SYS_kexec_load, entry, count, segments, flags));
}

int edge_kexec_file_load(int kernel, int initrd, const char *cmdline, size_t cmdline_size, uint64_t flags)
{
	return result(syscall(SYS_kexec_file_load, kernel, initrd, cmdline_size, cmdline, flags));
}

int edge_reboot(unsigned int command)
{
	return result(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, command, 0));
}
