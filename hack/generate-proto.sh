#!/usr/bin/env bash
# Generates the telemetry stubs, Python into trainer/polar/gen and js + d.ts into operator/src/gen, from proto/.
# Needs the installed toolchains (`npm ci`, `make setup-python`) and no network; the same input gives the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${POLAR_PYTHON:-trainer/.venv/bin/python}
python_out=trainer/polar/gen
typescript_out=operator/src/gen
mkdir -p "$python_out" "$typescript_out"
rm -f "$python_out"/*_pb2*.py "$python_out"/*_pb2.pyi "$typescript_out"/*_pb.js "$typescript_out"/*_pb.d.ts

# The virtual path polar/gen makes the generated modules import each other by their package name.
"$python" -m grpc_tools.protoc -Ipolar/gen=proto \
  --python_out=trainer --pyi_out=trainer --grpc_python_out=trainer polar/gen/telemetry.proto
touch "$python_out/__init__.py"

# The plugin is a Node script: the Node of the lock file comes first on PATH.
PATH="$PWD/node_modules/.bin:$PATH" "$python" -m grpc_tools.protoc -Iproto \
  --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es \
  --es_out="$typescript_out" --es_opt=target=js+dts,import_extension=js telemetry.proto
