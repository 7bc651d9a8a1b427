# The images of docker-compose.yml: `huren` (every part of the server), `orthanc` (the archive), `proxy` (nginx).
#
# All of Debian 12, so that Python, Orthanc and nginx are the very versions that the tests talk to, and Debian's security
# updates reach them by `docker compose build --pull --no-cache`. Nothing is compiled: all packages are wheels.

# ---------------------------------------------------------------- made here, and left behind

FROM debian:bookworm-slim AS build
ENV DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
# Where packages come from, if not from the usual places: both clients read these by themselves.
ARG PIP_INDEX_URL
ARG NPM_CONFIG_REGISTRY
WORKDIR /src
# What changes seldom comes first: the packages are fetched again only when these change.
COPY Makefile pyproject.toml constraints.txt package.json package-lock.json .npmrc ./
RUN python3 -m venv /opt/huren \
 && python3 -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))' >/tmp/packages \
 && /opt/huren/bin/pip install --no-compile -c constraints.txt -r /tmp/packages
COPY . .
# Pages' files, fonts, the image viewer and catalogues, by Node and Babel in a virtual environment that stays here.
RUN make install \
 && .venv/bin/pip wheel --quiet --no-deps --wheel-dir /tmp/wheels . \
 && /opt/huren/bin/pip install --no-deps --no-compile /tmp/wheels/*.whl \
 && /opt/huren/bin/pip check \
 && /opt/huren/bin/pip uninstall --yes pip setuptools \
 && /usr/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/huren/lib

# ---------------------------------------------------------------- every part of the server

FROM debian:bookworm-slim AS huren
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get upgrade -y --no-install-recommends \
 && apt-get install -y --no-install-recommends ca-certificates postgresql-client python3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10042 huren \
 && useradd --uid 10042 --gid 10042 --no-create-home --home-dir /data --shell /usr/sbin/nologin huren \
 && install -d -o 10042 -g 10042 -m 0700 /data
COPY --from=build /opt/huren /opt/huren
# Everything that is kept lies in /data, everything else that is written in /tmp: the root may be read-only.
ENV PATH=/opt/huren/bin:$PATH HUREN_DATA=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10042:10042
WORKDIR /tmp
VOLUME /data
ENTRYPOINT ["huren"]
CMD ["--help"]

# ---------------------------------------------------------------- the archive

FROM debian:bookworm-slim AS orthanc
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get upgrade -y --no-install-recommends \
 && apt-get install -y --no-install-recommends orthanc orthanc-dicomweb \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10043 -g 10043 -m 0700 /archive
COPY deploy/orthanc.json /etc/huren-orthanc/
USER 10043:10043
WORKDIR /tmp
VOLUME /archive
ENTRYPOINT ["Orthanc"]
CMD ["/etc/huren-orthanc"]

# ---------------------------------------------------------------- HTTPS before the web door

FROM debian:bookworm-slim AS proxy
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get upgrade -y --no-install-recommends \
 && apt-get install -y --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/nginx.conf /etc/nginx/huren.conf
USER 10044:10044
WORKDIR /tmp
ENTRYPOINT ["nginx", "-c", "/etc/nginx/huren.conf"]
