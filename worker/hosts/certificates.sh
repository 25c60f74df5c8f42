#!/bin/sh
# Make, once for each SADDLE_HOST, what Postgres and the broker need to serve other hosts over TLS. Run again for new ones
# after deleting the folder's `host`; every worker host then needs the new ca.crt.
#
#   ca.crt                     the authority's certificate, for the worker hosts; its key signs one certificate and is gone
#   server.crt, server.key     for Postgres;  broker.key is the same key, readable by the broker's user in its container
#   pg_hba.conf                who may log in from where: from other hosts nobody but workers and readers, all over TLS
set -eu
host=${SADDLE_HOST:?set it to the name or address by which worker hosts reach this one}
cd "${1:-/var/lib/postgresql}"
umask 077
if [ "$(cat host 2>/dev/null)" != "$host" ]; then
  case $host in *[!0-9.]*) name=DNS:$host ;; *) name=IP:$host ;; esac
  case $host in *:*) name=IP:$host ;; esac
  key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
  # shellcheck disable=SC2086  several words
  openssl req -x509 $key -keyout ca.key -out ca.new -days 3650 -subj "/CN=Saddle $host" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
  # shellcheck disable=SC2086
  openssl req $key -keyout server.key -out server.csr -subj "/CN=$host"
  printf '%s\n' "subjectAltName=$name" basicConstraints=CA:FALSE extendedKeyUsage=serverAuth \
    authorityKeyIdentifier=keyid subjectKeyIdentifier=hash > server.ext
  openssl x509 -req -in server.csr -CA ca.new -CAkey ca.key -set_serial "0x$(openssl rand -hex 15)" -days 3650 \
    -extfile server.ext -out server.crt
  rm ca.key server.csr server.ext
  cp server.key broker.key
  mv ca.new ca.crt
  chmod 644 ca.crt server.crt broker.key
  echo "$host" > host
fi
cat > pg_hba.conf <<'END'
local   all    all                                  trust
hostssl saddle saddle_worker,saddle_reader all      scram-sha-256
hostssl all    all                         samenet  scram-sha-256
END
