# The command line in a container, with networks on CPU:
#
#     docker build -t equipoise .
#     docker run --rm -v "$PWD:/data" equipoise diagnose labels.csv --label y
#
# Tables and scores alone need no torch: docker build --build-arg EXTRAS=tables -t equipoise .
FROM python:3.11-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir build
COPY pyproject.toml README.md LICENSE MANIFEST.in ./
COPY src src
RUN python -m build --wheel --outdir /dist .

FROM python:3.11-slim
# LightGBM asks the system for OpenMP, which the slim image lacks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
ARG EXTRAS=train,tables,excel,onnx
# Where torch's builds for CPU are; the plain index gives one for CUDA, of several GB.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /tmp/
COPY --from=build /dist /tmp/dist
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c /tmp/constraints.txt \
        "$(ls /tmp/dist/*.whl)[$EXTRAS]" \
    && rm -r /tmp/constraints.txt
# Matplotlib and others keep caches at home, and studies are written beside the data.
RUN useradd --create-home --uid 1000 equipoise
USER equipoise
WORKDIR /data
ENTRYPOINT ["equipoise"]
CMD ["--help"]
