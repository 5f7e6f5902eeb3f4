# syntax=docker/dockerfile:1
# Both images of the system, one stage each: `service`, `worker`, and `migrate`, the one-shot job before them. They share all
# layers: the service needs torch as well, to resolve a posted model on PyTorch's meta device.
#
#   docker build --target service --tag gradclinic-service .
#
# They run as user 10001, write to /tmp and /var/lib/gradclinic alone, and so also with a read-only root file system.

# A deployment pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
# PyTorch's own index of CPU builds. The plain package index has the CUDA build, several GB larger: for that one, build with
# --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu130, or another of PyTorch's indexes.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_BUILD_CONSTRAINT=/build/requirements.lock \
    PATH=/opt/gradclinic/bin:${PATH}
WORKDIR /build
COPY requirements.lock pyproject.toml ./
# pip first, at its pinned version (`--group` is newer than the image's). torch without its dependencies: those come later,
# from the plain index, at the versions of the lock.
RUN python -m venv /opt/gradclinic \
    && pip install --constraint requirements.lock --upgrade pip \
    && pip install --constraint requirements.lock --group system \
    && pip install --constraint requirements.lock --no-deps --index-url "${TORCH_INDEX_URL}" torch
COPY README.md LICENSE NOTICE ./
COPY gradclinic gradclinic
RUN pip install --constraint requirements.lock ".[torch,arrow]"

FROM ${PYTHON_IMAGE} AS system
ENV PATH=/opt/gradclinic/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    GRADCLINIC_DATA_DIR=/var/lib/gradclinic
RUN install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/gradclinic
COPY --from=build /opt/gradclinic /opt/gradclinic
WORKDIR /app
COPY migrations migrations
COPY store store
COPY service service
COPY worker worker
RUN python -m compileall -q .
USER 10001:10001

FROM system AS migrate
CMD ["python", "-m", "migrations"]

FROM system AS worker
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker"]

FROM system AS service
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=3)"]
CMD ["python", "-m", "service", "--host", "0.0.0.0", "--port", "8000"]
