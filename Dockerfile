# The gateway:
#   docker build --target cpu .     ONNX Runtime on the CPU, or Triton elsewhere; also without a target
#   docker build --target gpu .     the same with ONNX Runtime's CUDA build
# Both listen on all addresses of the container, so they start only with LAPS_KEYS_FILE, or with LAPS_ALLOW_ANONYMOUS=true
# where the port is published to no other machine.
#
# Builders without BuildKit go through every stage up to the target, so those of the GPU come after those of the CPU;
# there, name the target, as docker-compose.yml and `make docker` do. Nothing here needs BuildKit.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04
# The label of both images. A build cannot read it from the file VERSION; a test holds the two together.
ARG VERSION=0.2.0


FROM ${PYTHON_IMAGE} AS build
# Where pip installs from; what is not given is pip's own choice.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=/src/constraints.txt
WORKDIR /src
# An environment without pip: the image installs nothing later.
RUN python -m venv --without-pip /opt/laps
# Dependencies first: a change of the sources leaves their layer alone.
COPY VERSION constraints.txt ./
COPY server/pyproject.toml server/README.md server/
# With scale among them, an image for Ray.
ARG EXTRAS=triton,otel
RUN mkdir -p server/src/laps_server && touch server/src/laps_server/__init__.py \
 && pip --python /opt/laps/bin/python install "./server[$EXTRAS]"
# A trained Kinetics-400 network, with --build-arg KINETICS=0 left out. What makes it stays behind in this stage. Where the
# package cannot be had, one line says so.
ARG KINETICS=1
COPY LICENSE export/
COPY export/pyproject.toml export/README.md export/
COPY export/src export/src
RUN mkdir /opt/laps/models \
 && if [ "$KINETICS" != 0 ]; then python -m venv /opt/export \
 && /opt/export/bin/pip install ./export \
 && /opt/export/bin/laps-export fetch i3d-kinetics400 --optional --repository /opt/laps/models; fi
COPY server/src server/src
RUN pip --python /opt/laps/bin/python install --no-deps --force-reinstall ./server
COPY LICENSE NOTICE docker/ready.py /opt/laps/


FROM ${PYTHON_IMAGE} AS cpu
ARG VERSION
LABEL org.opencontainers.image.title="laps-server" \
      org.opencontainers.image.description="HTTP gateway for LAPS video classification, CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/laps /opt/laps
# A volume that docker/keys.yml puts here is made with this owner.
RUN install --directory --owner 10001 --group 10001 /keys
# HOME is what libraries write to where they must: the only writable place of a read-only container.
ENV PATH=/opt/laps/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LAPS_HOST=0.0.0.0 LAPS_PORT=8000 LAPS_MODEL_REPOSITORY=/models:/opt/laps/models
# A number, so that Kubernetes can see that it is not root; it needs no entry in /etc/passwd.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/laps/ready.py"]
ENTRYPOINT ["laps-server"]
CMD ["serve"]


FROM build AS build-gpu
# Both builds of ONNX Runtime are one Python package, so one has to go.
RUN pip --python /opt/laps/bin/python uninstall --yes onnxruntime \
 && pip --python /opt/laps/bin/python install onnxruntime-gpu
# The interpreter of PYTHON_IMAGE, which the CUDA image lacks, without what only its developers use.
RUN mkdir -p /interpreter/bin /interpreter/lib \
 && cp -a /usr/local/bin/python* /interpreter/bin/ \
 && cp -a /usr/local/lib/libpython* /usr/local/lib/python3.* /interpreter/lib/ \
 && rm -rf /interpreter/lib/python3.*/test /interpreter/lib/python3.*/site-packages/*


FROM ${CUDA_IMAGE} AS gpu
ARG VERSION
LABEL org.opencontainers.image.title="laps-server" \
      org.opencontainers.image.description="HTTP gateway for LAPS video classification, CUDA" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-gpu /interpreter/ /usr/local/
COPY --from=build-gpu /opt/laps /opt/laps
RUN install --directory --owner 10001 --group 10001 /keys
ENV PATH=/opt/laps/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LAPS_HOST=0.0.0.0 LAPS_PORT=8000 LAPS_MODEL_REPOSITORY=/models:/opt/laps/models LAPS_DEVICE=cuda
# A CUDA image that lacks a library of the interpreter's, or whose glibc is older, is found here and not in service.
RUN ldconfig && python -c "import ctypes, ssl, zlib, onnxruntime, laps_server.api.app"
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "/opt/laps/ready.py"]
ENTRYPOINT ["laps-server"]
CMD ["serve"]


# What is built where no target is named; BuildKit leaves out the stages that it does not need.
FROM cpu AS default
