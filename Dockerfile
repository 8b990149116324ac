# CPU: docker build -t lada_tf .
# GPU: docker build -t lada_tf --build-arg BASE=tensorflow/tensorflow:2.19.0-gpu .
# Tests check this file with hadolint. They do not build it: CI has no Docker.
ARG BASE=tensorflow/tensorflow:2.19.0
FROM ${BASE}

WORKDIR /opt/lada_tf
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY lada_tf lada_tf
RUN pip install --no-cache-dir . \
    && useradd --create-home --uid 1000 lada \
    && install --directory --owner=lada /data /runs /models

USER 1000
WORKDIR /home/lada
ENTRYPOINT ["lada-tf"]
CMD ["--help"]
