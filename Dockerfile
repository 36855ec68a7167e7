# docker build --build-arg REVISION=$(git rev-parse HEAD) -t resilience-sidecar .
# docker run --read-only -v "$PWD/config:/etc/sidecar:ro" --network host resilience-sidecar
#
# docs/deploy/docker.md says what is in it, how to run it, and what of it can be reproduced. `make image` builds and tries
# it where no container engine runs.

# Any base with Python 3.11 or newer as python3, and for building pip and a shell. To pin the very bytes:
# --build-arg BASE=docker.io/library/python@sha256:...
ARG BASE=docker.io/library/python:3.13.9-slim-bookworm
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
WORKDIR /src
ENV PYTHONHASHSEED=0 UV_NO_CACHE=1 UV_NO_CONFIG=1 UV_LINK_MODE=copy UV_SYSTEM_CERTS=1 PIP_ROOT_USER_ACTION=ignore
COPY release/build.lock release/
RUN python3 -m pip install --quiet --no-cache-dir --no-deps --only-binary :all: --require-hashes --target /build -r release/build.lock
COPY release/requirements.lock release/
# The environment holds no pip. A dependency that the lock does not name stops the build: nothing comes without its hash.
RUN /build/bin/uv --quiet venv --python "$(command -v python3)" /opt/sidecar \
    && /build/bin/uv pip install --quiet --python /opt/sidecar --only-binary :all: --require-hashes -r release/requirements.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY sidecar ./sidecar
COPY release/slim.py release/
ARG REVISION=""
ARG SOURCE_DATE_EPOCH=1577836800
RUN SIDECAR_COMMIT="$REVISION" PYTHONPATH=/build python3 -m hatchling build -t wheel -d /wheel \
    && /build/bin/uv pip install --quiet --python /opt/sidecar --no-deps /wheel/*.whl \
    && /build/bin/uv pip check --quiet --python /opt/sidecar \
    && python3 release/slim.py /opt/sidecar \
    && mkdir -p /state && touch -d @"$SOURCE_DATE_EPOCH" /state

FROM ${RUNTIME}
ARG REVISION=""
ARG VERSION=0.1.0
ARG SOURCE=""
LABEL org.opencontainers.image.title="resilience-sidecar" \
      org.opencontainers.image.description="Every outgoing HTTP call ends in time, with an answer the application can parse" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /opt/sidecar /opt/sidecar
# The one place that is its own: for `state.last_known_good.store: disk`. Everything else may be read-only.
COPY --from=build --chown=65532:65532 /state /var/lib/sidecar
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIDECAR_ADMIN=http://127.0.0.1:9901
# A number, so that a cluster can check that it is not root's.
USER 65532:65532
VOLUME /var/lib/sidecar
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["sidecar", "health"]
ENTRYPOINT ["sidecar"]
CMD ["run", "-c", "/etc/sidecar/sidecar.yaml"]
