#!/bin/sh
# Write what nginx.conf includes, from the environment, and become nginx.
#
#   SADDLE_TLS_CERTIFICATE, SADDLE_TLS_KEY   set: TLS, with /run/saddle/tls.crt and tls.key; unset: plain HTTP
#   SADDLE_TRUSTED_PROXIES                   addresses of proxies before this one, whose X-Forwarded-... are believed
#   SADDLE_UPLOAD_BYTES                      the largest upload
#   SADDLE_CONNECTIONS_PER_ADDRESS           connections (HTTP/2: requests) that an address may have open at once
#   SADDLE_API, SADDLE_PROXY_PORT            where the API is and where to listen, as in docker-compose.yml
set -eu
here=$(cd "$(dirname "$0")" && pwd)
run=$(mktemp -d)
cp "$here/nginx.conf" "$here/problems.conf" "$run/"
refuse() { echo "saddle: $1" >&2; exit 1; }

certificate=${SADDLE_TLS_FOLDER:-/run/saddle}/tls.crt key=${SADDLE_TLS_FOLDER:-/run/saddle}/tls.key
port=${SADDLE_PROXY_PORT:-8080}
{
  case ${SADDLE_TLS_CERTIFICATE:+certificate}${SADDLE_TLS_KEY:+key} in
    certificatekey)
      [ -r "$certificate" ] || refuse "SADDLE_TLS_CERTIFICATE: uid $(id -u) cannot read it"
      [ -r "$key" ] || refuse "SADDLE_TLS_KEY: uid $(id -u) cannot read it"
      echo "listen $port ssl http2;"
      echo "ssl_certificate $certificate;"
      echo "ssl_certificate_key $key;"
      echo 'error_page 497 =308 https://$http_host$request_uri;  # plain HTTP to this port'
      echo 'add_header Strict-Transport-Security "max-age=31536000" always;' ;;
    '') echo "listen $port;" ;;
    *) refuse "SADDLE_TLS_CERTIFICATE and SADDLE_TLS_KEY: name both files, or none for plain HTTP" ;;
  esac
  echo "set \$api ${SADDLE_API:-api:8000};"
} > "$run/server.conf"
{
  echo "limit_conn addresses ${SADDLE_CONNECTIONS_PER_ADDRESS:-200};"
} > "$run/limits.conf"
echo "client_max_body_size ${SADDLE_UPLOAD_BYTES:-268435456};" > "$run/upload.conf"
{
  echo 'geo $realip_remote_addr $from_proxy {'
  echo '  default "";'
  for each in $(echo "${SADDLE_TRUSTED_PROXIES:-}" | tr ',' ' '); do echo "  $each yes;"; done
  echo '}'
  for each in $(echo "${SADDLE_TRUSTED_PROXIES:-}" | tr ',' ' '); do echo "set_real_ip_from $each;"; done
} > "$run/trusted.conf"
exec nginx -e stderr -p "$run" -c "$run/nginx.conf"
