#!/usr/bin/env bash
# Write tfar/export/web_page/vendor anew: LiteRT.js as one script, and the WebAssembly files that the page can use.
# Needs node, npm, tar and xz. The versions are those that tfar/export/web_page/vendor/README.md names.
set -euo pipefail
vendor="$(cd "$(dirname "$0")/.." && pwd)/tfar/export/web_page/vendor"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cd "$build"
npm install --silent --no-save --no-package-lock --ignore-scripts @litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3 esbuild@0.28.2
echo 'export {loadAndCompile, loadLiteRt, supportsFeature, Tensor} from "@litertjs/core";' > litert.mjs
npx --no-install esbuild litert.mjs --bundle --format=iife --global-name=LiteRT --log-level=warning \
    --banner:js='/* LiteRT.js 2.5.3: @litertjs/core and @litertjs/wasm-utils, Apache-2.0, see LICENSE */' --outfile="$vendor/litert.js"
cd node_modules/@litertjs/core/wasm
chmod 644 ./*
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
    litert_wasm_{,compat_,threaded_}internal.{js,wasm} | xz --lzma2=preset=9e,dict=64MiB > "$vendor/litert_wasm.tar.xz"
sha256sum litert_wasm_{,compat_,threaded_}internal.{js,wasm}
