# kexec-tools as a boot loader, and nothing that it does not need: one disk, one entry, no judgement of anything.
# @ENGINE@ is -c (kexec_load) or -s (kexec_file_load).
until [ -b /dev/vda2 ]; do usleep 10000; done
mount -t ext4 -o ro,noload,nosuid,nodev,noexec /dev/vda2 /mnt

while read -r key value; do
	case $key in
	linux) kernel=/mnt$value ;;
	initrd) initrd=/mnt$value ;;
	options) options=$value ;;
	esac
done < /mnt/loader/entries/target.conf

kexec @ENGINE@ -l "$kernel" --initrd="$initrd" --command-line="$options" &&
	umount /mnt &&
	kexec -e -x
echo "peer: not booted"
poweroff -f
