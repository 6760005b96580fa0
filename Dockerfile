# The README's two commands on a bare Debian, whose own Python is 3.11. On a machine without a GPU,
# --build-arg TORCH_INDEX=... takes PyTorch's CPU wheels (README: without CUDA).
#
#   docker build -t camreader .
#   docker run --name study camreader                                # the whole study
#   docker cp study:/home/reader/camreader/reports reports           # its report
#   docker run --rm -p 127.0.0.1:8888:8888 camreader make lab        # the notebooks
FROM debian:bookworm-slim AS base
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --shell /bin/bash reader
ENV LANG=C.UTF-8 LAB_IP=0.0.0.0 PIP_NO_CACHE_DIR=1
USER reader

FROM base
ARG TORCH_INDEX=
WORKDIR /home/reader/camreader
COPY --chown=reader . .
RUN make env TORCH_INDEX="$TORCH_INDEX"
EXPOSE 8888
CMD ["make", "report"]
