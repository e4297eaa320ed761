/* The target's /init: prints what the second kernel was given, between marker lines, and powers off. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Linux Documentation/arch/x86/zero-page.rst and boot.rst */
#define VIDEO_IS_VGA 0x00f
#define LFB_SIZE 0x012
#define LFB_BASE 0x018
#define EXT_LFB_BASE 0x03a
#define EXT_RAMDISK_IMAGE 0x0c0
#define EXT_RAMDISK_SIZE 0x0c4
#define RAMDISK_IMAGE 0x218
#define RAMDISK_SIZE 0x21c
#define BOOT_PARAMS_SIZE 4096

static size_t read_file(const char *path, void *buffer, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t done = 0;
	ssize_t step;

	if (fd < 0)
		return 0;
	while (done < size && (step = read(fd, (char *)buffer + done, size - done)) > 0)
		done += step;
	close(fd);
	return done;
}

static void show_text(const char *name, const char *path)
{
	static char text[65536];
	size_t size = read_file(path, text, sizeof(text) - 1);

	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	printf("target %s=%s\n", name, text);
}

static void show_exists(const char *name, const char *path)
{
	printf("target %s=%d\n", name, access(path, F_OK) == 0);
}

/* The anchor of an SMBIOS entry point: _SM_, or _SM3_ from version 3 on. */
static void show_anchor(const char *name, const char *path)
{
	char anchor[6] = "";

	read_file(path, anchor, sizeof(anchor) - 1);
	if (strncmp(anchor, "_SM3_", 5))
		anchor[4] = '\0';
	printf("target %s=%s\n", name, anchor);
}

/* All bytes of a file, in hexadecimal; nothing where there is no file. */
static void show_hex(const char *name, const char *path)
{
	FILE *stream = fopen(path, "r");
	int byte;

	if (!stream)
		return;
	printf("target %s=", name);
	while ((byte = fgetc(stream)) != EOF)
		printf("%02x", byte);
	putchar('\n');
	fclose(stream);
}

/* The PCRs of the first TPM, in all its active banks. */
static void show_pcrs(void)
{
	static const char *const banks[] = { "sha1", "sha256", "sha384", "sha512" };
	char path[128], name[64];

	for (size_t bank = 0; bank < sizeof(banks) / sizeof(banks[0]); bank++) {
		for (int pcr = 0; pcr < 16; pcr++) {
			snprintf(path, sizeof(path), "/sys/class/tpm/tpm0/pcr-%s/%d", banks[bank], pcr);
			snprintf(name, sizeof(name), "pcr_%s_%d", banks[bank], pcr);
			if (!access(path, F_OK))
				show_text(name, path);
		}
	}
}

static void show_count(const char *name, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int count = 0;

	while (directory && (entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	printf("target %s=%d\n", name, count);
	if (directory)
		closedir(directory);
}

static uint64_t field(const uint8_t *params, int low, int high)
{
	uint32_t pair[2];

	memcpy(&pair[0], params + low, 4);
	memcpy(&pair[1], params + high, 4);
	return (uint64_t)pair[1] << 32 | pair[0];
}

static void show_boot_params(void)
{
	static uint8_t params[BOOT_PARAMS_SIZE];
	uint16_t screen[2];

	if (read_file("/sys/kernel/boot_params/data", params, sizeof(params)) != sizeof(params))
		return;
	memcpy(screen, params + LFB_SIZE, sizeof(screen));
	printf("target screen=%#x %ux%u %#llx\n", params[VIDEO_IS_VGA], screen[0], screen[1],
	       (unsigned long long)field(params, LFB_BASE, EXT_LFB_BASE));
	printf("target initrd_start=%#llx\n", (unsigned long long)field(params, RAMDISK_IMAGE, EXT_RAMDISK_IMAGE));
	printf("target initrd_size=%llu\n", (unsigned long long)field(params, RAMDISK_SIZE, EXT_RAMDISK_SIZE));
}

static void show_iomem(void)
{
	FILE *stream = fopen("/proc/iomem", "r");
	unsigned long long start, end, total = 0;
	char line[256], name[128];

	while (stream && fgets(line, sizeof(line), stream)) {
		if (sscanf(line, " %llx-%llx : %127[^\n]", &start, &end, name) != 3)
			continue;
		if (line[0] != ' ' && !strcmp(name, "System RAM"))
			total += end - start + 1;
		if (!strcmp(name, "Kernel code"))
			printf("target kernel_start=%#llx\n", start);
	}
	printf("target system_ram=%llu\n", total);
	if (stream)
		fclose(stream);
}

/* Load the modules that lie in /modules, by name. */
static void load_modules(void)
{
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, alphasort), fd;
	char path[512];

	for (int at = 0; at < count; at++) {
		snprintf(path, sizeof(path), "/modules/%s", names[at]->d_name);
		fd = open(path, O_RDONLY);
		if (fd >= 0 && names[at]->d_name[0] != '.')
			syscall(SYS_finit_module, fd, "", 0);
	}
}

static void show_file(const char *begin, const char *path, const char *end)
{
	char buffer[4096];
	FILE *stream = fopen(path, "r");
	size_t size;

	if (!stream)
		return;
	puts(begin);
	while ((size = fread(buffer, 1, sizeof(buffer), stream)))
		fwrite(buffer, 1, size, stdout);
	printf("\n%s\n", end);
	fclose(stream);
}

/* FNV-1a, 64 bits: enough to tell files apart that a test has made. */
static uint64_t digest_of(const char *path)
{
	static uint8_t buffer[65536];
	uint64_t digest = 0xcbf29ce484222325u;
	int fd = open(path, O_RDONLY);
	ssize_t size;

	while (fd >= 0 && (size = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at < size; at++)
			digest = (digest ^ buffer[at]) * 0x100000001b3u;
	if (fd >= 0)
		close(fd);
	return digest;
}

/* Everything below a directory: mode, size and digest, by path. */
static void show_tree(const char *directory)
{
	struct dirent **names;
	int count = scandir(directory, &names, NULL, alphasort);
	struct stat status;
	char path[4096];

	for (int at = 0; at < count; at++) {
		if (!strcmp(names[at]->d_name, ".") || !strcmp(names[at]->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, names[at]->d_name);
		if (lstat(path, &status))
			continue;
		printf("target tree:%s=%o %u:%u %lld %016llx\n", path, status.st_mode, status.st_uid, status.st_gid,
		       S_ISREG(status.st_mode) ? (long long)status.st_size : 0,
		       S_ISREG(status.st_mode) ? (unsigned long long)digest_of(path) : 0);
		if (S_ISDIR(status.st_mode))
			show_tree(path);
	}
}

/* Run the program /hook, where there is one; what it prints is among our lines. */
static void run_hook(void)
{
	int status = 0;
	pid_t child;

	if (access("/hook", X_OK))
		return;
	fflush(stdout);
	child = fork();
	if (!child) {
		execl("/hook", "/hook", (char *)NULL);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	printf("target hook=%d\n", status);
}

static void show_extra(void)
{
	struct stat status;

	if (!stat("/.extra", &status))
		printf("target tree:/.extra=%o\n", status.st_mode);
	show_tree("/.extra");
}

int main(void)
{
	struct utsname kernel;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mkdir("/efivars", 0755);
	load_modules();
	mount("efivarfs", "/efivars", "efivarfs", MS_RDONLY, NULL);
	klogctl(6, NULL, 0);	/* SYSLOG_ACTION_CONSOLE_OFF: no line of the kernel's in the middle of ours */
	uname(&kernel);
	puts("\nbootshim-target-begin");
	printf("target release=%s\n", kernel.release);
	show_text("cmdline", "/proc/cmdline");
	show_text("second_initrd", "/second");
	show_boot_params();
	show_iomem();
	show_count("memory_map", "/sys/firmware/memmap");
	show_exists("efi_runtime", "/sys/firmware/efi/runtime");
	show_count("efi_variables", "/efivars");
	show_text("framebuffer", "/sys/class/graphics/fb0/name");
	show_exists("smbios", "/sys/firmware/dmi/tables/DMI");
	show_anchor("smbios_anchor", "/sys/firmware/dmi/tables/smbios_entry_point");
	show_exists("acpi", "/sys/firmware/acpi/tables/FACP");
	show_pcrs();
	show_hex("eventlog", "/.extra/bootshim/eventlog.bin");
	show_extra();
	run_hook();
	show_file("bootshim-target-report-begin", "/.extra/bootshim/report.json", "bootshim-target-report-end");
	show_text("token", "/token");
	puts("bootshim-target-end");
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
