/*
 * A machine without an operating system. `loader` is started by multiboot, maps the low 4 GiB to themselves, goes to
 * 64-bit mode as kexec leaves it and jumps to ENTRY. `probe_64` and `probe_32` stand for a kernel: they print a token
 * and the state they were entered in on the first serial port, and leave QEMU by isa-debug-exit.
 * Addresses come from bare_machine.py. Spec: Multiboot 0.6.96, 3.1; Intel SDM volume 3, 9.8.5 (to IA-32e mode).
 */
#define SERIAL 0x3f8
#define DEBUG_EXIT 0xf4
#define RESULT_COUNT 12
#define CR0_PAGED 0x80000011
#define CR4_PAE 0x20
#define EFER 0xc0000080
#define EFER_LME 0x100
#define HERE(symbol) (symbol - loader + LOADER)

	.section .text, "ax"
	.code32
	.globl loader
loader:
	jmp 1f
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
1:	mov $TABLES, %edi
	xor %eax, %eax
	mov $6 * 1024, %ecx
	rep stosl
	movl $TABLES + 0x1003, TABLES
	movl $TABLES + 0x2003, TABLES + 0x1000
	movl $TABLES + 0x3003, TABLES + 0x1008
	movl $TABLES + 0x4003, TABLES + 0x1010
	movl $TABLES + 0x5003, TABLES + 0x1018
	mov $TABLES + 0x2000, %edi
	mov $0x83, %eax
2:	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	jnc 2b
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $TABLES, %eax
	mov %eax, %cr3
	mov $EFER, %ecx
	mov $EFER_LME, %eax
	xor %edx, %edx
	wrmsr
	mov $CR0_PAGED, %eax
	mov %eax, %cr0
	lgdt HERE(gdt_pointer)
	ljmp $8, $HERE(in_64)
	.code64
in_64:	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	lidt HERE(idt_pointer)
	mov $0x5a5a5a5a, %ebx
	mov %ebx, %edi
	mov %ebx, %ebp
	mov $ENTRY, %eax
	jmp *%rax
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff
gdt_pointer:
	.word 15
	.long HERE(gdt), 0
idt_pointer:
	.word 0
	.long 0, 0

.macro REPORT
	mov $STACK, %esp
	mov $RESULTS, %edi
	mov $RESULT_COUNT, %ebp
	call 5f
	mov $DEBUG_EXIT, %edx
	mov $0x10, %eax
	out %eax, %dx
1:	hlt
	jmp 1b
5:	mov $PROBE + token - loader, %esi
6:	mov (%esi), %al
	test %al, %al
	jz 7f
	call 8f
	inc %esi
	jmp 6b
7:	mov $' ', %al
	call 8f
	mov (%edi), %ebx
	mov $8, %ecx
9:	rol $4, %ebx
	mov %ebx, %eax
	and $15, %eax
	mov PROBE + digits - loader(%eax), %al
	call 8f
	dec %ecx
	jnz 9b
	add $4, %edi
	dec %ebp
	jnz 7b
	mov $10, %al
8:	mov $SERIAL, %edx
	out %al, %dx
	ret
.endm

	.code64
	.globl probe_64
probe_64:
	mov %esi, RESULTS + 4
	mov %ebx, RESULTS + 8
	mov %ebp, RESULTS + 12
	mov %edi, RESULTS + 16
	mov %cs, %eax
	mov %eax, RESULTS + 20
	mov %ss, %eax
	mov %eax, RESULTS + 24
	mov %ds, %eax
	mov %eax, RESULTS + 28
	mov %cr0, %rax
	mov %eax, RESULTS + 32
	mov %cr4, %rax
	mov %eax, RESULTS + 36
	pushf
	pop %rax
	mov %eax, RESULTS + 40
	mov $EFER, %ecx
	rdmsr
	mov %eax, RESULTS + 44
	movl $64, RESULTS
	REPORT

	.code32
	.globl probe_32
probe_32:
	mov %esi, RESULTS + 4
	mov %ebx, RESULTS + 8
	mov %ebp, RESULTS + 12
	mov %edi, RESULTS + 16
	mov %cs, %eax
	mov %eax, RESULTS + 20
	mov %ss, %eax
	mov %eax, RESULTS + 24
	mov %ds, %eax
	mov %eax, RESULTS + 28
	mov %cr0, %eax
	mov %eax, RESULTS + 32
	mov %cr4, %eax
	mov %eax, RESULTS + 36
	pushf
	pop %eax
	mov %eax, RESULTS + 40
	mov $EFER, %ecx
	rdmsr
	mov %eax, RESULTS + 44
	movl $32, RESULTS
	REPORT

digits:	.ascii "0123456789abcdef"
	.globl token
token:	.skip 40
	.section .note.GNU-stack, "", @progbits
