# The dashboard for several people, behind a reverse proxy: docs/deploy.md.
#
#   docker build --tag fisherdash .
#   docker run --publish 127.0.0.1:8501:8501 --volume fisherdash:/data fisherdash
# The 3D library needs npm once, and the image does not need npm afterwards.
FROM python:3.11-slim AS viewer
WORKDIR /build
COPY tools/get_3dmol.py tools/
RUN python tools/get_3dmol.py

FROM python:3.11-slim

# GFN2-xTB links to it; `make` is not needed, everything is one step here.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# Who serves is not root and owns nothing but the data.
RUN useradd --create-home --uid 10001 fisherdash \
    && install --directory --owner=fisherdash --group=fisherdash /data

WORKDIR /srv/fisherdash

# The pins change seldom, so this layer is kept from one build to the next.
COPY requirements.txt requirements-auth.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r requirements.txt -r requirements-auth.txt

COPY . .
COPY --from=viewer /build/static/vendor static/vendor
RUN pip install --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps \
    --editable .

# Everything that is written goes to the volume. Inside the container all addresses are listened on;
# which of them the world sees is decided by --publish.
ENV FISHERDASH_WORKSPACE=/data \
    FISHERDASH_SHARED=1 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501 \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_CLIENT_SHOW_ERROR_DETAILS=none \
    PYTHONUNBUFFERED=1

USER fisherdash
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

CMD ["python", "-m", "pages.ui.serve"]
