# Windrow: the interface for people. `just` alone lists the recipes.

# The stack's name
stack := env("WINDROW_STACK", "windrow")
# The bucket for the functions' code; without one, a bucket beside the stack is made, and removed by `destroy`
code_bucket := env("WINDROW_CODE_BUCKET", "")
# What the functions are built for: `x86_64` or `arm64`
architecture := env("WINDROW_ARCHITECTURE", "x86_64")

venv := justfile_directory() / ".venv/bin"
python := quote(venv / "python")
aws := python + " -m awscli"
export PATH := venv + ":" + env("PATH")
# Where the zips are made from, whatever the caller's own is
export CARGO_TARGET_DIR := justfile_directory() / "target"
# The pinned AWS CLI knows AWS_DEFAULT_REGION only
region := 'if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION="$AWS_REGION"; fi'

[private]
default:
    @just --list --unsorted

# The main job, here and now: build, start a local cloud, deploy, publish, show what came of it
[group('try')]
demo: _build-local
    @{{ python }} e2e/demo.py

# A local cloud with the stack deployed, that stays up until Ctrl-C
[group('try')]
local: _build-local
    @{{ python }} e2e/local.py

# Ask about windows and results: `just ask place NAME …`, `just ask inspect FILE`
[group('try')]
[positional-arguments]
ask *arguments: _cli
    @target/debug/windrow "$@"

# Does everything work that a stack needs, on our side and the publisher's? A line each, with the remedy for what fails
[group('operate')]
[positional-arguments]
check *arguments: _cli
    @target/debug/windrow --stack {{ quote(stack) }} "$@" check

# What is a window made of, and what became of it? `just explain 20210101T180000Z`, a time within it, or a file's name
[group('operate')]
[positional-arguments]
explain *arguments: _cli
    @target/debug/windrow --stack {{ quote(stack) }} explain "$@"

# How are things: executions running and failed, dead letters, the latest windows and how fresh they came
[group('operate')]
[positional-arguments]
status *arguments: _cli
    @target/debug/windrow --stack {{ quote(stack) }} status "$@"

# Replays dead letters and failed executions; with --dry-run, only tells which
[group('operate')]
[positional-arguments]
redrive *arguments: _cli
    @target/debug/windrow --stack {{ quote(stack) }} redrive "$@"

# Announces the publisher's files of FROM to TO (or --prefix) again, and delivers lost results; with --dry-run, only counts
[group('operate')]
[positional-arguments]
replay *arguments: _cli
    @target/debug/windrow --stack {{ quote(stack) }} replay "$@"

# Everything that CI checks
[group('check')]
test: format lint unit template audit e2e

# Formatting, of Rust and of this file
[group('check')]
format:
    cargo fmt --all --check
    just --fmt --check

# Rust without warnings
[group('check')]
lint:
    cargo clippy --workspace --all-targets --locked -- --deny warnings
    # The workspaces of the fuzzer and of the measuring server have lock files of their own, which must follow.
    @cargo metadata --locked --format-version 1 --manifest-path crates/table/fuzz/Cargo.toml >/dev/null
    @cargo metadata --locked --format-version 1 --manifest-path e2e/s3/Cargo.toml >/dev/null

# Unit and integration tests
[group('check')]
unit:
    cargo test --workspace --locked --quiet

# Template and state machine: cfn-lint and checkov
[group('check')]
template: (_venv "--lint")
    {{ python }} e2e/lint.py

# The dependencies: licences, sources, and known vulnerabilities (WINDROW_ADVISORIES=required: not without those)
[group('check')]
audit:
    cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked
    cargo deny --workspace check --hide-inclusion-graph licenses bans sources
    # RustSec's database is a Git repository, which a closed network does not reach.
    @if cargo deny fetch db 2>/dev/null; then \
        cargo deny --workspace check --hide-inclusion-graph advisories; \
    else \
        echo "advisories NOT CHECKED: RustSec's database of known vulnerabilities cannot be reached"; \
        [ "${WINDROW_ADVISORIES:-}" != required ]; \
    fi

# The real template and the real functions on a local cloud, from message to delivered Parquet
[group('check')]
[positional-arguments]
e2e *pytest: _build-local
    {{ python }} -m pytest e2e/tests "$@"

# Arbitrary bytes for the reader of CSVs, for so many seconds; what reaches new code joins the corpus
[group('check')]
fuzz seconds="300": (_fuzz "-max_total_time=" + seconds "target/fuzz/corpus" "crates/table/fuzz/corpus") (_fuzz "-merge=1 -use_counters=0" "crates/table/fuzz/corpus" "target/fuzz/corpus")

_fuzz *arguments:
    @mkdir -p target/fuzz/corpus
    # libFuzzer's instruments, without the sanitizers: those are for unsafe code, and need another compiler.
    @CARGO_TARGET_DIR=target/fuzz RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
        cargo run --quiet --release --locked --manifest-path crates/table/fuzz/Cargo.toml \
            --target "$(rustc --print host-tuple)" -- \
            -artifact_prefix=target/fuzz/ -max_len=4096 -timeout=10 -rss_limit_mb=512 {{ arguments }}

# Speed, memory and size beside DuckDB, Polars and PyArrow: docs/benchmark.md; with --quick, only a try
[group('measure')]
[positional-arguments]
bench *arguments: (_venv "--bench")
    @cargo build --quiet --release --locked --package table --example convert
    @{{ quote(justfile_directory() / ".venv/bench/bin/python") }} e2e/bench.py "$@"

# Time and memory of merging a window and of delivering it, by size: docs/merging.md; with --quick, only a try
[group('measure')]
[positional-arguments]
bench-merge *arguments: _venv
    @cargo build --quiet --release --locked --package stage --package merge --package deliver
    @cargo build --quiet --release --locked --manifest-path e2e/s3/Cargo.toml
    @{{ python }} e2e/bench_merge.py --server target/release/s3 --functions target/release "$@"

# Build the functions for AWS: target/lambda/NAME/bootstrap.zip, where the template expects them
[group('deploy')]
build: _venv
    cargo lambda build --release --locked --output-format zip \
        --package start --package stage --package merge --package deliver \
        --target {{ if architecture == "arm64" { "aarch64" } else { "x86_64" } }}-unknown-linux-gnu.2.34

# Deploy to AWS, or to AWS_ENDPOINT_URL; parameters as NAME=VALUE … or file://FILE.json
[group('deploy')]
[positional-arguments]
deploy *parameters: build
    #!/usr/bin/env bash
    set -euo pipefail
    {{ region }}
    bucket=$(just stack={{ quote(stack) }} code_bucket={{ quote(code_bucket) }} _code-bucket)
    if ! {{ aws }} s3api head-bucket --bucket "$bucket" 2>/dev/null >&2; then
        echo "Making the bucket $bucket for the functions' code"
        {{ aws }} s3 mb "s3://$bucket" >/dev/null
    fi
    # The processor that was built for, unless a file holds all parameters.
    if [[ "${1:-}" != file://* ]]; then
        set -- Architecture={{ architecture }} "$@"
    fi
    mkdir -p target
    {{ aws }} cloudformation package --template-file template.yaml --s3-bucket "$bucket" \
        --output-template-file target/packaged.yaml >/dev/null
    {{ aws }} cloudformation deploy --template-file target/packaged.yaml --s3-bucket "$bucket" \
        --stack-name {{ quote(stack) }} --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
        ${1:+--parameter-overrides "$@"}
    {{ aws }} cloudformation describe-stacks --stack-name {{ quote(stack) }} --output table \
        --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]'

# Remove the stack and the bucket that was made for its code; the bucket with the data stays
[group('deploy')]
destroy: _venv
    #!/usr/bin/env bash
    set -euo pipefail
    {{ region }}
    data=$({{ aws }} cloudformation describe-stacks --stack-name {{ quote(stack) }} --output text \
        --query 'Stacks[0].Outputs[?OutputKey==`BucketName`].OutputValue')
    {{ aws }} cloudformation delete-stack --stack-name {{ quote(stack) }}
    {{ aws }} cloudformation wait stack-delete-complete --stack-name {{ quote(stack) }}
    code=$(just stack={{ quote(stack) }} code_bucket="" _code-bucket)
    if {{ aws }} s3api head-bucket --bucket "$code" 2>/dev/null >&2; then
        {{ aws }} s3 rb --force "s3://$code" >/dev/null
    fi
    echo "The stack {{ stack }} is gone. Its data stays in s3://$data: keep it, or empty and remove that bucket by hand."

# Begin a stack with the bucket that a former one left; then `just deploy BucketName=BUCKET …` adds the rest
[group('deploy')]
adopt bucket: _venv
    #!/usr/bin/env bash
    set -euo pipefail
    {{ region }}
    bucket={{ quote(bucket) }}
    {{ aws }} cloudformation create-change-set --stack-name {{ quote(stack) }} --change-set-name adopt \
        --change-set-type IMPORT --template-body '{"Resources": {"Bucket": {"Type": "AWS::S3::Bucket",
            "DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain",
            "Properties": {"BucketName": "'"$bucket"'"}}}}' \
        --resources-to-import '[{"ResourceType": "AWS::S3::Bucket", "LogicalResourceId": "Bucket",
            "ResourceIdentifier": {"BucketName": "'"$bucket"'"}}]' >/dev/null
    {{ aws }} cloudformation wait change-set-create-complete --stack-name {{ quote(stack) }} --change-set-name adopt
    {{ aws }} cloudformation execute-change-set --stack-name {{ quote(stack) }} --change-set-name adopt
    {{ aws }} cloudformation wait stack-import-complete --stack-name {{ quote(stack) }}
    echo "The stack {{ stack }} holds s3://$bucket. Next: just stack={{ stack }} deploy BucketName=$bucket …"

# The bucket for code: the given one, else one per account, Region and stack
[private]
_code-bucket: _venv
    #!/usr/bin/env bash
    set -euo pipefail
    {{ region }}
    if [ -n {{ quote(code_bucket) }} ]; then
        echo {{ quote(code_bucket) }}
        exit
    fi
    account=$({{ aws }} sts get-caller-identity --query Account --output text)
    region=${AWS_DEFAULT_REGION:-$({{ aws }} configure get region)}
    # A stack's name may hold what a bucket's may not.
    stack=$(printf %s {{ quote(stack) }} | cksum | cut -d ' ' -f 1)
    echo "windrow-code-$account-$region-$stack"

# The operators' command. As one build with the functions, which have most of it in common.
[private]
_cli:
    @cargo build --quiet --workspace --bins --locked

# The functions for this machine: quick to build, for the local cloud only
[private]
_build-local: _venv
    cargo build --workspace --bins --locked
    @cargo build --quiet --package table --example convert --locked
    @{{ python }} e2e/zip.py target/debug

# Python for the local cloud, the linters and the measurements
[private]
_venv *options:
    @python3 e2e/setup.py {{ options }}
