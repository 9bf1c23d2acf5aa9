# The watchdog as an image. docs/deploy.md says how to run it.
#
# Any base with Debian's package manager will do: Python is installed where the base has none.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS python
RUN command -v python3 >/dev/null || { \
      apt-get update && \
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 && \
      rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log; }

FROM python AS build
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends binutils && \
    { python3 -c 'import ensurepip, venv' 2>/dev/null || \
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; }
WORKDIR /build
# The tools that install stay here: the environment that is shipped has no pip of its own.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/livekit-watchdog
COPY requirements/run.txt requirements/
# A private package index and its certificate come in as build secrets, and leave no trace.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    tools/bin/python -m pip --python /opt/livekit-watchdog/bin/python install \
      --no-cache-dir --disable-pip-version-check --only-binary :all: \
      --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY requirements/dev.txt requirements/
COPY migrations migrations
COPY watchdog watchdog
# What builds the wheel comes from the lock, too; were one of its parts missing here, pip would refuse.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' \
      requirements/dev.txt >builder.txt && \
    tools/bin/python -m pip install \
      --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r builder.txt && \
    tools/bin/python -m pip wheel --disable-pip-version-check \
      --no-cache-dir --no-build-isolation --no-deps --no-index --wheel-dir dist . && \
    tools/bin/python -m pip --python /opt/livekit-watchdog/bin/python install \
      --no-cache-dir --disable-pip-version-check --no-deps --no-index dist/*.whl
# Nothing that runs reads the packages' own tests, stubs for type checkers, sources of compiled modules, symbols
# for a debugger, what colours source code, databases that are not supported, or Apprise's translations and
# pictures. Compiled Python stays: it saves a second of each start.
RUN find /opt/livekit-watchdog -depth -type d \( -name tests -o -name testing \) \
      -path '*/site-packages/*' -not -path '*/watchdog/*' -exec rm -rf {} + && \
    find /opt/livekit-watchdog -path '*/pygments/lexers/*' -type f -not -name '__init__.*' -not -name '_mapping.*' -delete && \
    find /opt/livekit-watchdog -path '*/apprise/i18n/*/*' -type f -not -path '*/__pycache__/*' -delete && \
    find /opt/livekit-watchdog -depth -type d -path '*/sqlalchemy/dialects/*' \
      \( -name mssql -o -name mysql -o -name oracle \) -exec rm -rf {} + && \
    find /opt/livekit-watchdog -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' \
      -o -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -path '*/apprise/assets/*' \) -delete && \
    find /opt/livekit-watchdog -type f -name '*.so*' -exec strip --strip-unneeded {} +

FROM python
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="livekit-agent-watchdog" \
      org.opencontainers.image.description="Finds LiveKit rooms where only agents are left, says since when and what that costs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN mkdir /var/lib/livekit-watchdog && chown 10001:10001 /var/lib/livekit-watchdog
COPY --from=build /opt/livekit-watchdog /opt/livekit-watchdog
ENV PATH=/opt/livekit-watchdog/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WATCHDOG_DATABASE=sqlite+aiosqlite:////var/lib/livekit-watchdog/watchdog.db \
    WATCHDOG_HTTP__LISTEN=0.0.0.0:9779
USER 10001:10001
WORKDIR /var/lib/livekit-watchdog
VOLUME /var/lib/livekit-watchdog
EXPOSE 9779
# It follows the port of WATCHDOG_HTTP__LISTEN, and no proxy of the environment comes between.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python3", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['WATCHDOG_HTTP__LISTEN'].rpartition(':')[2]), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["livekit-watchdog"]
CMD ["run"]
