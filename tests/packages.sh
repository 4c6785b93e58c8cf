#!/usr/bin/env bash
# Install what the slow proofs run beside the pipeline, from Debian: podman and a Slurm cluster.
# Where that cannot be done, the tests that need it are skipped, and say so.
set -euo pipefail

# package:a file that it brings
PACKAGES=(
    podman:/usr/bin/podman
    runc:/usr/sbin/runc
    fuse-overlayfs:/usr/bin/fuse-overlayfs
    netavark:/usr/lib/podman/netavark
    uidmap:/usr/bin/newuidmap
    debootstrap:/usr/sbin/debootstrap
    slurmctld:/usr/sbin/slurmctld
    slurmd:/usr/sbin/slurmd
    slurm-client:/usr/bin/sbatch
    munge:/usr/sbin/munged
)

missing=()
for package in "${PACKAGES[@]}"; do
    if [ ! -e "${package#*:}" ]; then missing+=("${package%%:*}"); fi
done
if [ ${#missing[@]} -eq 0 ]; then exit; fi

echo "setup: ${missing[*]} from Debian ..." >&2
if ! {
    apt-get update --quiet --quiet &&
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes \
            --no-install-recommends "${missing[@]}"
} >&2; then
    echo "WARNING: apt-get could not install ${missing[*]}; tests that need them are skipped." >&2
fi
