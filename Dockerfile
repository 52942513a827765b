# The release image: the static binary, roots of trust, and nothing else: no shell, no package manager, no libc.
#
# Not built where this was written, for want of a container engine. What goes into it was: `cargo xtask release` builds the
# same binary in the same way, and checks it.
#
#   docker build --tag causeway:0.1.0 .
#
# Or around a binary that `cargo xtask release` made:
#
#   docker build --tag causeway:0.1.0 --build-context built=dist --build-arg FROM=ready .

# `compiled`: compile here. `ready`: take the binary from the build context `built`.
ARG FROM=compiled

FROM docker.io/library/rust:1.95.0-bookworm AS compiled
RUN apt-get update \
 && apt-get install --yes --no-install-recommends musl-tools cmake ca-certificates \
 && rm -rf /var/lib/apt/lists/*
RUN rustup target add x86_64-unknown-linux-musl
WORKDIR /causeway
COPY . .
RUN cargo build --release --locked --package causeway --bin causeway --target x86_64-unknown-linux-musl \
 && mkdir /out \
 && cp target/x86_64-unknown-linux-musl/release/causeway /out/causeway

FROM docker.io/library/debian:bookworm-slim AS ready
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=built causeway /out/causeway
RUN chmod 0755 /out/causeway

FROM ${FROM} AS chosen

FROM scratch
# The program reads the system's roots of trust; in a cluster with a proxy of its own, CAUSEWAY_CA_FILE adds to them.
COPY --from=chosen /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=chosen /out/causeway /causeway
# By number, so that Kubernetes can see that it is not root. There is no /etc/passwd, and nothing is written.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/causeway"]
CMD ["run"]
