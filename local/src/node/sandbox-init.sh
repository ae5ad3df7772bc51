#!/bin/bash
# First process of a container, pid 1 of its own pid, mount, ipc and uts namespaces.
# usage: sandbox-init.sh ROOT HOSTNAME WORKDIR COMMAND [ARG...]
# ROOT is a skeleton of mount points, ROOT.base and ROOT.volumes the fstab files that fill it. fd 3 leads to the agent:
# "started" once the command can run, anything else is why it cannot, and "exit N" at the end. A dead agent makes the first
# write fail, which ends us. fd 4 is the command's stderr.
set -eu
root=$1 name=$2 workdir=$3
shift 3
user_path=$PATH
exec 2>&3
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount --bind "$root" "$root"
# unbindable: else binding the directory that holds ROOT would copy ROOT into itself
mount --make-unbindable "$root"
# a directory of the host that may not be bound is left out
mount --all --fstab "$root.base" 2>/dev/null || true
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" 2>/dev/null || true
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts" 2>/dev/null || true
mount --all --fstab "$root.volumes"
cd "$root"
pivot_root . .old
umount --lazy /.old
hostname "$name" 2>/dev/null || true
PATH=$user_path
cd -- "$workdir" || exit 128
program=$(type -P -- "$1") || { echo "exec: \"$1\": executable file not found in \$PATH or not executable" >&2; exit 128; }
[[ -f $program ]] || { echo "exec: \"$1\": is not a file" >&2; exit 128; }
unset SHLVL OLDPWD
set +eu -m
stopping=
trap 'stopping=1; [ -z "$main" ] || kill -TERM "$main"' TERM
main=
echo started >&3 || exit 128
# bash reports killed children on its stderr
exec 2>/dev/null
{ exec 2>&4 3>&- 4>&-; exec -- "$@"; } &
main=$!
[ -z "$stopping" ] || kill -TERM "$main"
while stopping=; wait "$main"; code=$?; [ -n "$stopping" ]; do
  kill -0 "$main" 2>/dev/null || { wait "$main"; late=$?; [ "$late" = 127 ] || code=$late; break; }
done
echo "exit $code" >&3
exit "$code"
