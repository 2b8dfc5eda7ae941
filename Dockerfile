# tl-advise in a container, without weights: they are downloaded, or mounted at /weights.
#   docker build -t tl-advise .                                           the index's usual build of torch (CUDA on Linux)
#   docker build -t tl-advise --build-arg TORCH="--index-url URL torch torchvision" .   another build, as the PyTorch site names it
#   docker run --rm -v "$PWD/photos:/data:ro" -v "$PWD/runs:/runs" tl-advise /data --out /runs/first
FROM python:3.12-slim
ARG TORCH="torch torchvision"
ARG EXTRAS=onnx,lite,serve
RUN useradd --create-home --uid 1000 advisor && mkdir /runs /weights && chown advisor /runs /weights
WORKDIR /build
RUN pip install --no-cache-dir $TORCH
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY advisor advisor
COPY plugins plugins
RUN pip install --no-cache-dir ".[$EXTRAS]" && rm -rf /build/*
USER advisor
WORKDIR /runs
ENV TL_ADVISE_CACHE=/home/advisor/.cache/tl-advise HF_HOME=/weights/huggingface TORCH_HOME=/weights/torch
ENTRYPOINT ["tl-advise"]
CMD ["--help"]
