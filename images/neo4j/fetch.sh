#!/bin/sh
# Runs in the builder stage only: fetches the jars of pom.xml into /opt/neo4j/lib, through the host's proxy and with the
# host's certificate authorities where the build was given them. Nothing of either leaves this stage.
set -eu

if [ -s /run/secrets/ca-bundle ]; then
    # One file a certificate is what update-ca-certificates takes; its Java hook rewrites the truststore in one go.
    mkdir -p /usr/local/share/ca-certificates/host
    awk '/BEGIN CERTIFICATE/ { n++ } n { print > sprintf("/usr/local/share/ca-certificates/host/%03d.crt", n) }' \
        /run/secrets/ca-bundle
    update-ca-certificates > /dev/null 2>&1
fi

settings=/run/secrets/maven-settings
if [ ! -s "$settings" ]; then
    settings=/tmp/settings.xml
    {
        echo '<settings><proxies>'
        for scheme in http https; do
            eval "address=\${${scheme}_proxy:-}"
            [ -n "$address" ] || continue
            authority=${address#*://}
            authority=${authority%%/*}
            host_port=${authority##*@}
            echo "<proxy><id>$scheme</id><protocol>$scheme</protocol><host>${host_port%%:*}</host>"
            echo "<port>${host_port##*:}</port>"
            if [ "$authority" != "$host_port" ]; then
                credentials=${authority%@*}
                echo "<username>${credentials%%:*}</username><password>${credentials#*:}</password>"
            fi
            echo "<nonProxyHosts>$(echo "${no_proxy:-localhost}" | tr ',' '|')</nonProxyHosts></proxy>"
        done
        echo '</proxies></settings>'
    } > "$settings"
fi

# Many small files: fetched sixteen at a time. Every artifact, Maven's own plugins included, must have the checksum that is written in checksums/checksums.sha256.
# After a change of pom.xml: run this with -Daether.artifactResolver.postProcessor.trustedChecksums.record=true
mvn --batch-mode --no-transfer-progress --settings "$settings" --file /build/pom.xml --strict-checksums \
    -Daether.dependencyCollector.impl=bf -Daether.connector.basic.threads=16 -Daether.metadataResolver.threads=16 \
    -Daether.trustedChecksumsSource.summaryFile=true \
    -Daether.trustedChecksumsSource.summaryFile.basedir=/build/checksums \
    -Daether.trustedChecksumsSource.summaryFile.originAware=false \
    -Daether.artifactResolver.postProcessor.trustedChecksums=true \
    -Daether.artifactResolver.postProcessor.trustedChecksums.checksumAlgorithms=SHA-256 \
    -Daether.artifactResolver.postProcessor.trustedChecksums.failIfMissing=true \
    "$@" dependency:copy-dependencies

# Java libraries unpack their native parts into /tmp at start, where nothing may be executed: they are put in place now.
case $(uname -m) in
    aarch64) set -- linux-aarch64 aarch_64 Linux/aarch64 linux/aarch64 ;;
    *) set -- linux-x86-64 x86_64 Linux/x86_64 linux/amd64 ;;
esac
cd /opt/neo4j/lib
mkdir -p ../native
unzip -q -j -d ../native jna-[0-9]*.jar "com/sun/jna/$1/libjnidispatch.so"
unzip -q -j -d ../native netty-transport-native-epoll-*-linux-"$2".jar "META-INF/native/*.so"
unzip -q -j -d ../native snappy-java-*.jar "org/xerial/snappy/native/$3/*.so"
unzip -q -j -d ../native zstd-jni-*.jar "$4/*.so"
chmod 0755 ../native/*
