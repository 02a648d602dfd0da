; SPDX-License-Identifier: Apache-2.0
; A guest without an operating system: a boot sector that says '?' on the first serial port until it is told something, and writes what it is told to.
; A command is seven bytes: BIOS drive (80h is the first), count of sectors (127 at most), the byte to fill them with, and the first
; sector's number in four bytes, lowest first. It answers '!' when the disk has taken them, else 'E'.
bits 16
org 0x7c00

%define buffer 0x2000   ; a segment: 64 KiB

start:
    cli
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    sti

call_out:
    mov al, '?'
    call put
    mov dx, 0x3fd
    xor cx, cx
.listen:
    in al, dx
    test al, 1
    jnz next
    loop .listen
    jmp call_out

next:
    mov di, command
    mov cx, 7
    push ds
    pop es
.byte:
    call get
    stosb
    loop .byte

    mov ax, buffer
    mov es, ax
    xor di, di
    mov al, [command + 2]
    mov cx, 0xffff
    rep stosb
    mov al, [command + 1]
    xor ah, ah
    mov [packet + 2], ax
    mov ax, [command + 3]
    mov [packet + 8], ax
    mov ax, [command + 5]
    mov [packet + 10], ax
    mov si, packet
    mov dl, [command]
    mov ax, 0x4300      ; extended write
    int 0x13
    mov al, '!'
    jnc .answer
    mov al, 'E'
.answer:
    call put
    jmp next

; The next byte of the line status tells both: 0x01 a byte is there, 0x20 a byte may be sent.
get:
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 1
    jz .wait
    mov dx, 0x3f8
    in al, dx
    ret

put:
    push ax
    mov dx, 0x3fd
.wait:
    in al, dx
    test al, 0x20
    jz .wait
    pop ax
    mov dx, 0x3f8
    out dx, al
    ret

align 4
packet: db 16, 0
        dw 0, 0, buffer
        dq 0
command: times 7 db 0

times 510 - ($ - $$) db 0
dw 0xaa55
