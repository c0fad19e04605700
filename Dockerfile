# One image for every role: the program, wholly static, and the certificates of authorities; nothing else. No registry is
# asked for anything. `.ci/image BINARY TAG` makes the folder that this is built from; docs/operation.md says how it is run.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY aurora /aurora
# A volume that Docker makes for it belongs to whom this does.
COPY --chown=10001:10001 data /data
USER 10001:10001
ENV AURORA_REPO=/repo AURORA_DATA_DIR=/data/aurora
EXPOSE 8080 8000
# Docker's own; Kubernetes and images of the OCI's format have their probes elsewhere.
HEALTHCHECK --interval=10s --timeout=5s CMD ["/aurora", "health"]
ENTRYPOINT ["/aurora"]
CMD ["up"]
