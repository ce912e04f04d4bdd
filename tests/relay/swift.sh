#!/usr/bin/env bash
# A one-machine OpenStack Swift with its S3 API on 127.0.0.1:$PORT, state under $1. For tests only.
set -euo pipefail
dir=$(realpath -m "$1"); port=${PORT:-18080}
mkdir -p "$dir"/{etc,node/d1,log,run}
cd "$dir/etc"
cat > swift.conf <<C
[swift-hash]
swift_hash_path_suffix = darklantern
swift_hash_path_prefix = darklantern
[storage-policy:0]
name = one
default = yes
C
for kind in account:6202 container:6201 object:6200; do
  name=${kind%%:*}; at=$((port + ${kind##*:} - 6190))
  swift-ring-builder $name.builder create 4 1 1 >/dev/null
  swift-ring-builder $name.builder add --region 1 --zone 1 --ip 127.0.0.1 --port $at --device d1 --weight 1 >/dev/null
  swift-ring-builder $name.builder rebalance >/dev/null
  cat > $name-server.conf <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $at
workers = 0
swift_dir = $dir/etc
devices = $dir/node
mount_check = false
user = $(id -un)
log_address = /dev/null
log_name = $name
[pipeline:main]
pipeline = $name-server
[app:$name-server]
use = egg:swift#$name
C
done
cat > proxy-server.conf <<C
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 0
swift_dir = $dir/etc
user = $(id -un)
log_address = /dev/null
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$((port + 1))
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
C
memcached -u nobody -l 127.0.0.1 -p $((port + 1)) -m 16 >"$dir/log/memcached" 2>&1 & echo $! > "$dir/run/memcached"
for name in account container object; do
  SWIFT_DIR=$dir/etc swift-$name-server "$dir/etc/$name-server.conf" >"$dir/log/$name" 2>&1 & echo $! > "$dir/run/$name"
done
swift-proxy-server "$dir/etc/proxy-server.conf" >"$dir/log/proxy" 2>&1 & echo $! > "$dir/run/proxy"
