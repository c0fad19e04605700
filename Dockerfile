# The one binary, wholly static, FROM scratch: docs/operation.md says how it is run.
FROM rust:1.95 AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools \
 && rustup target add x86_64-unknown-linux-musl
WORKDIR /src
COPY . .
ENV CC_x86_64_unknown_linux_musl=musl-gcc
RUN cargo build --release --locked -p cli --target x86_64-unknown-linux-musl

FROM scratch
COPY --from=build /src/target/x86_64-unknown-linux-musl/release/aurora /aurora
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 10001
ENV AURORA_REPO=/repo AURORA_DATA_DIR=/data/aurora
EXPOSE 8080 8000
HEALTHCHECK --interval=10s --timeout=5s CMD ["/aurora", "health"]
ENTRYPOINT ["/aurora"]
CMD ["up"]
