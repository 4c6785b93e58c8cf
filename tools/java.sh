# shellcheck shell=bash disable=SC2034
# How Java runs Nextflow from its jars, for tools/nextflow and setup.sh.

# The serial collector keeps 500 slides in 0.4 GB where the default one lets memory grow to 1.4
JAVA_OPTIONS=(-Dfile.encoding=UTF-8 -XX:+TieredCompilation -XX:TieredStopAtLevel=1 -XX:+UseSerialGC)
for package in java.{lang,io,nio,nio.file.spi,net,util,util.concurrent.locks,util.concurrent.atomic} \
    sun.nio.{ch,fs} sun.net.www.protocol.{http,https,ftp,file} jdk.internal.{misc,vm}; do
    JAVA_OPTIONS+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# Beside the jars, their classes as Java has read them once, so that a start takes it 20 % less. Another
# Java than the one that wrote them leaves them aside.
CLASSES=classes.jsa

# keep_classes FOLDER: write them.
keep_classes() {
    local scratch
    scratch=$(mktemp -d)
    (cd "$scratch" && NXF_OFFLINE=true "$JAVA" "${JAVA_OPTIONS[@]}" -Xlog:disable -Xlog:all=error:stderr \
        -XX:ArchiveClassesAtExit="$1/$CLASSES" -cp "$1/*" nextflow.cli.Launcher -q run "$ROOT" --help >/dev/null)
    rm -rf "$scratch"
}
