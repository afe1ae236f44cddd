#!/usr/bin/env bash
# Writes the stubs of the extension modules from an installed or built pyloss: tools/stubs.sh [python]
# All levels have the same contents, so one stub, _level.pyi, stands for them.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python}
to=src/pyloss/_native
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

level=$("$python" -c 'from pyloss._native import kernels; print(kernels.__name__)')
"$python" -m pybind11_stubgen -o "$made" "$level"
"$python" -m pybind11_stubgen -o "$made" pyloss._native._cpu

# What pybind11 cannot know, or says at length.
sed -E \
  -e '/^__all__/d' \
  -e 's/typing\.SupportsFloat \| typing\.SupportsIndex/float/g' \
  -e 's/typing\.SupportsInt \| typing\.SupportsIndex/int/g' \
  -e 's/tuple\[numpy\.ndarray(\[typing\.Any, numpy\.dtype\[typing\.Any\]\])?, int\]/Operand/g' \
  -e 's/^import typing$/import typing\n\nOperand: typing.TypeAlias = tuple[numpy.typing.NDArray[typing.Any], int]/' \
  -e 's/(def (elementwise)_losses\(\) ->) dict:/\1 dict[str, tuple[int, int, int]]:/' \
  -e 's/(def (penalty)_losses\(\) ->) dict:/\1 dict[str, tuple[int, int]]:/' \
  -e 's/(def [a-z]+_losses\(\) ->) dict:/\1 dict[str, int]:/' \
  -e 's/^math_functions: tuple = .*/math_functions: tuple[str, ...]/' \
  -e 's/^((compiler|level): str|openmp: int) = .*/\1/' \
  -e '/def small/{s/arg0: /pred: /;s/arg1: /target: /;s/arg2: /want: /;s/arg3: /reduction: /;s/arg4: (typing\.Any)/out: \1, \//}' \
  "$made/${level//.//}.pyi" > "$to/_level.pyi"
sed '/^__all__/d' "$made/pyloss/_native/_cpu.pyi" > "$to/_cpu.pyi"
"$python" -m ruff check --quiet --fix --select I,UP "$to/_level.pyi" "$to/_cpu.pyi"
"$python" -m ruff format --quiet "$to/_level.pyi" "$to/_cpu.pyi"
