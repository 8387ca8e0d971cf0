# A server of one gallery: no root, a root file system that may be read-only, one volume.
#
#   docker build -t composir .
#   docker run --rm -v composir:/data -v ~/photos:/photos:ro composir composir index /photos
#   docker compose up
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md CHANGELOG.md LICENSE constraints-ci.txt ./
COPY src src
RUN python -m venv /opt/composir \
 && /opt/composir/bin/pip install --no-cache-dir --constraint constraints-ci.txt '.[serve,heif,jxl]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /data composir
COPY --from=build /opt/composir /opt/composir
ENV PATH=/opt/composir/bin:$PATH \
    COMPOSIR_HOME=/data \
    COMPOSIR_GALLERY=/data/gallery \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /data
EXPOSE 8732
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8732/readyz', timeout=4)"]
# Other machines need the key that is mounted here; see compose.yaml.
CMD ["composir", "serve", "--host", "0.0.0.0", "--port", "8732", "--api-key-file", "/run/secrets/composir_key", "--no-open"]
