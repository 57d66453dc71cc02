#!/bin/sh
# A certificate authority of one cluster's own, and certificates for its scheduler, workers and clients.
#
#   deploy/tls/make-certificates.sh [FOLDER] [--days N] [--host NAME]... [--keep-authority-key] [--force]
#
# FOLDER (default: certificates beside this script) gets ca.pem, and NAME.pem and NAME.key of scheduler, worker, client.
# --host adds a host name or address to those of the certificates (localhost and the service names are there).
# The authority's private key is removed when it has signed: nobody can then add members to the cluster; make a new set to renew.
set -eu
umask 077

folder="$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/certificates"
days=365
names="DNS:localhost,IP:127.0.0.1,IP:::1,DNS:scheduler,DNS:worker,DNS:jupyter,DNS:jwst-dask-scheduler"
keep=no force=no
while [ $# -gt 0 ]; do
  case "$1" in
    --days) days="$2"; shift ;;
    --host) case "$2" in *[!0-9.]*) case "$2" in *:*) names="$names,IP:$2" ;; *) names="$names,DNS:$2" ;; esac ;; *) names="$names,IP:$2" ;; esac; shift ;;
    --keep-authority-key) keep=yes ;;
    --force) force=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) folder="$1" ;;
  esac
  shift
done
command -v openssl >/dev/null || { echo "openssl is needed" >&2; exit 1; }
if [ -e "$folder/ca.pem" ] && [ "$force" = no ]; then
  echo "$folder has certificates already; --force replaces them (all members of the cluster must then be restarted)" >&2
  exit 1
fi
mkdir -p "$folder"
chmod 700 "$folder"
work="$(mktemp -d "$folder/.new.XXXXXX")"
trap 'rm -rf "$work"' EXIT

openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -sha256 -days "$days" -subj "/CN=jwst_dask cluster authority" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$work/ca.pem"

for role in scheduler worker client; do
  usage="serverAuth,clientAuth" # scheduler and workers call each other
  [ "$role" = client ] && usage="clientAuth"
  cat >"$work/$role.cnf" <<EXTENSIONS
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=$usage
subjectAltName=$names
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
EXTENSIONS
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/$role.key"
  openssl req -new -key "$work/$role.key" -subj "/CN=jwst_dask $role" -out "$work/$role.csr"
  openssl x509 -req -in "$work/$role.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
    -days "$days" -sha256 -extfile "$work/$role.cnf" -out "$work/$role.pem" 2>/dev/null
  mv "$work/$role.key" "$work/$role.pem" "$folder/"
done
[ "$keep" = yes ] && mv "$work/ca.key" "$folder/"
mv "$work/ca.pem" "$folder/"
chmod 600 "$folder"/*.key
chmod 644 "$folder"/*.pem
echo "certificates for $days days in $folder"
