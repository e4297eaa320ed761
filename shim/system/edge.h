/*
 * The system calls that Python does not have. One function, one call: no decision, no retry. Each returns what the
 * kernel returned, or -errno. This header is also the declaration that cffi reads: no preprocessor between the marks.
 */
#ifndef SHIM_EDGE_H
#define SHIM_EDGE_H

#include <stddef.h>
#include <stdint.h>

#include "sha256.h"

/* cffi begin */
struct edge_segment {		/* struct kexec_segment of linux/kexec.h, 64-bit */
	const void *buffer;
	uint64_t buffer_size;
	uint64_t start;
	uint64_t size;
};

int edge_mount(const char *source, const char *target, const char *fstype, unsigned long flags, const char *options);
int edge_umount(const char *target, int flags);
int edge_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int edge_finit_module(int fd, const char *parameters, int flags);
int edge_kexec_load(uint64_t entry, const struct edge_segment *segments, size_t count, uint64_t flags);
int edge_kexec_file_load(int kernel, int initrd, const char *cmdline, size_t cmdline_size, uint64_t flags);
int edge_reboot(unsigned int command);
/* cffi end */

#endif
