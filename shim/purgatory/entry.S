/*
 * In: 64-bit mode, interrupts off, memory mapped to itself, this image at a page-aligned address below 4 GiB
 * (Linux arch/x86/kernel/relocate_kernel_64.S leaves the machine so). Out: the kernel, entered as
 * Documentation/arch/x86/boot.rst says, "64-bit Boot Protocol" or "32-bit Boot Protocol".
 */
#include "purgatory.h"

/* ARGS_*: offsets in struct purgatory_args, given by build.py from the table in args.py. */

#define BOOT_CS 0x10
#define BOOT_DS 0x18

#define CR0_PE 0x1
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define MSR_EFER 0xc0000080

	.section .text.entry, "ax", @progbits
	.code64
	.globl purgatory_start
purgatory_start:
	cli
	cld
	lea stack_top(%rip), %rsp
	sidt idt_before(%rip)
	lea gdt_64(%rip), %rax
	lea gdt_64_pointer(%rip), %rdi
	call load_segments
	lea idt(%rip), %rdi
	mov $BOOT_CS, %esi
	call trap_fill
	lea idt(%rip), %rax
	mov %rax, idt_pointer + 2(%rip)
	lidt idt_pointer(%rip)

	/* The digest uses SSE registers; the kernel gets CR0 and CR4 back as they were. */
	mov %cr0, %r12
	mov %cr4, %r13
	mov %r12, %rax
	and $~(CR0_EM | CR0_TS), %rax
	mov %rax, %cr0
	mov %r13, %rax
	or $(CR4_OSFXSR | CR4_OSXMMEXCPT), %rax
	mov %rax, %cr4
	lea purgatory_args(%rip), %rdi
	call purgatory_main
	test %eax, %eax
	jz triple_fault
	mov %r13, %cr4
	mov %r12, %cr0
	lidt idt_before(%rip)

	mov purgatory_args + ARGS_ENTRY_ADDRESS(%rip), %rax
	mov purgatory_args + ARGS_BOOT_PARAMS_ADDRESS(%rip), %rsi
	testl $PURGATORY_ENTER_32, purgatory_args + ARGS_FLAGS(%rip)
	jnz leave_long_mode
	xor %ebx, %ebx
	xor %ecx, %ecx
	xor %edx, %edx
	xor %edi, %edi
	xor %ebp, %ebp
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d
	jmp *%rax

/* Load the GDT at rax through the pointer at rdi, and its BOOT_CS and BOOT_DS. Changes rdx. */
load_segments:
	mov %rax, 2(%rdi)
	lgdt (%rdi)
	pop %rdx
	push $BOOT_CS
	push %rdx
	mov $BOOT_DS, %edx
	mov %edx, %ds
	mov %edx, %es
	mov %edx, %fs
	mov %edx, %gs
	mov %edx, %ss
	lretq

/* With a 32-bit BOOT_CS we are in compatibility mode, still paged; without paging, in protected mode. */
leave_long_mode:
	mov %rax, %rbx
	lea gdt_32(%rip), %rax
	lea gdt_32_pointer(%rip), %rdi
	call load_segments
	.code32
	mov $CR0_PE, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
	mov %eax, %cr4
	mov %eax, %cr3
	mov %ebx, %eax
	xor %ebx, %ebx
	xor %ecx, %ecx
	xor %edi, %edi
	xor %ebp, %ebp
	jmp *%eax
	.code64

	.globl triple_fault
triple_fault:
	lidt idt_none(%rip)
	ud2

/* Each stub says its number; the processor may have pushed an error code before, which nobody reads. */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	push $vector
	jmp trap
	.set vector, vector + 1
	.endr
	.balign 16
trap:
	pop %rdi
	mov %cr2, %rsi
	lea stack_top(%rip), %rsp
	call trap_report
	jmp triple_fault

/* Intel SDM volume 3, 3.4.5: flat, 4 GiB, ring 0. */
	.section .data.entry, "aw", @progbits
	.balign 8
gdt_64:
	.quad 0, 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt_32:
	.quad 0, 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdt_64_pointer:
	.word 31
	.quad 0
gdt_32_pointer:
	.word 31
	.quad 0
idt_pointer:
	.word 32 * 16 - 1
	.quad 0
idt_none:
	.word 0
	.quad 0

	.section .data.args, "aw", @progbits
	.balign 16
	.globl purgatory_args
purgatory_args:
	.skip ARGS_SIZE

	.section .bss.entry, "aw", @nobits
	.balign 16
idt:
	.skip 32 * 16
idt_before:
	.skip 16
	.skip 4096
stack_top:

	.section .note.GNU-stack, "", @progbits
