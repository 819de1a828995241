# Targets: agent, operator (built here, for the platforms asked for); agent-prebuilt, operator-prebuilt
# (what scripts/static.sh has left under target/images/bin: no registry, no network).
#   docker build --target agent --platform linux/amd64,linux/arm64 -t stoq/agent:0.1.0 .

FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95-bookworm AS build
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends musl-tools gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-x86-64-linux-gnu libc6-dev-amd64-cross \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /stoq
COPY . .
ARG TARGETARCH
# One after the other, so that both share what they depend on.
RUN scripts/static.sh "$TARGETARCH" stoq-agent stoq-operator

FROM scratch AS agent
ARG TARGETARCH
COPY --from=build /stoq/target/images/bin/$TARGETARCH/stoq-agent /stoq-agent
ENTRYPOINT ["/stoq-agent"]

FROM scratch AS operator
ARG TARGETARCH
COPY --from=build /stoq/target/images/bin/$TARGETARCH/stoq-operator /stoq-operator
USER 65532:65532
ENTRYPOINT ["/stoq-operator"]

FROM scratch AS agent-prebuilt
ARG TARGETARCH
COPY target/images/bin/$TARGETARCH/stoq-agent /stoq-agent
ENTRYPOINT ["/stoq-agent"]

FROM scratch AS operator-prebuilt
ARG TARGETARCH
COPY target/images/bin/$TARGETARCH/stoq-operator /stoq-operator
USER 65532:65532
ENTRYPOINT ["/stoq-operator"]
