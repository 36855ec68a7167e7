# docker build -t resilience-sidecar .
# docker run --read-only -v "$PWD/config:/etc/sidecar:ro" --network host resilience-sidecar

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sidecar ./sidecar
# The environment holds no pip, and its bytecode is compiled here: at run time nothing is written.
RUN python -m venv --without-pip /opt/sidecar \
    && pip --python /opt/sidecar/bin/python install --no-cache-dir --compile ".[schema]"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="resilience-sidecar" \
      org.opencontainers.image.description="Every outgoing HTTP call ends in time, with an answer the application can parse" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIDECAR_ADMIN=http://127.0.0.1:9901
# A number, so that a cluster can check that it is not root's. Nobody has it, and nothing in the image is its own.
USER 65532:65532
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['SIDECAR_ADMIN'] + '/healthz', timeout=2)"]
ENTRYPOINT ["sidecar"]
CMD ["run", "-c", "/etc/sidecar/sidecar.yaml"]
