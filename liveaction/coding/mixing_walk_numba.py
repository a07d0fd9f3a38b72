"""A part of a chunk through the mixing coder: symbols chosen and put, or got; integers decide what is coded.

One walk encodes and decodes, so that both see the same. docs/entropy.md says it in words.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type, operator"

import numpy as np

from liveaction.coding.context_numba import (
    BORDER,
    class_of,
    compiled,
    from_channels,
    keep,
    magnitude,
    prepare,
    row_of,
    scale_of,
    signed,
    split,
    unsigned,
)
from liveaction.coding.decode_numba import GOOD, TOO_LARGE, flat_row
from liveaction.coding.layout import (
    BINS,
    BORDER_BITS,
    CLASSES,
    FOLD,
    FOLD_BINS,
    LARGEST,
    MOST_ACTIVE,
    MOST_BORDER,
    ONE,
    ONE_BITS,
    SCALE_ONE,
    TRAINED,
)
from liveaction.coding.mixing import DECISIONS, EXPONENTS, INPUTS, OCTAVES, QUIET, SETS
from liveaction.coding.mixing_choice_numba import bits_of, chosen_for, is_silent, most_needed
from liveaction.coding.mixing_numba import (
    BEGIN_0,
    BEGIN_1,
    BEGIN_2,
    BEGIN_3,
    LIMIT,
    LIMIT_HEAD,
    code_counted,
    mix,
    probability,
    teach,
)
from liveaction.coding.range_numba import EVEN, code
from liveaction.coding.rdo_numba import SILENT, _plain_symbols, peak
from liveaction.coding.trace_numba import choose, size_of

GET, PUT, CHOOSE = 0, 1, 2
"""Ways of a walk: symbols are read, given, or chosen by what they cost."""
NO_CLASS = 4
"""What a walk finds beside what the fast coder's decoder does."""
FIRST_CLASS = 20
"""The class that the first channel with symbols is told apart from."""


@compiled
def _octave(active, shift, bins):
    """The octave of the magnitude that an activity says, from 0 to OCTAVES - 1; 8 begins at 1.

    As :func:`~context_numba.row_of` has it in quarter octaves, of which 40 is 1."""
    v = min(max(active >> ONE_BITS, 1), MOST_ACTIVE)
    b = np.int64(bins[np.uint64(v)]) if v < BINS else np.int64(bins[np.uint64(v >> FOLD)]) + FOLD_BINS
    return min(max((b + shift - SCALE_ONE + 32) >> 2, 0), OCTAVES - 1)


@compiled
def lagged(energy, m):
    """A mean of magnitudes over channels at a position, in 256ths: the last one counts an eighth."""
    return energy + ((256 * m - energy) >> 3)


@compiled
def even(value, bits, state, data):
    """``bits`` decisions of a half each, the upper first."""
    got = 0
    for i in range(bits - 1, -1, -1):
        got = got << 1 | code((value >> i) & 1, EVEN, state, data)
    return got


@compiled
def _large(y, line, state, data):
    """One more than a value from 0 on, by exponent and bits; one too large where what is read has none."""
    y += 1
    e = 0
    while code_counted(np.int64(y >> (e + 1) > 0), line, e, LIMIT, state, data):
        e += 1
        if e == EXPONENTS:
            return LARGEST << 3
    return 1 << e | even(y, e, state, data)


@compiled
def _walk_row(row, latents, way, weight, values, sizes, raw, energy, at, up, back, prepared, active, sources, first,
              second, mode, weights, near, scale, bins, kind, work, mixing, state, data):  # fmt: skip
    """The symbols of a row, as ``trace_numba._trace_row`` walks along it."""
    contexts, inputs, outs, ps = work
    n1, n2 = np.int64(sizes[at - 1]), np.int64(sizes[at - 2])
    s1, s2 = np.int64(values[at - 1]), np.int64(values[at - 2])
    m1, m2 = np.int64(raw[at - 1]), np.int64(raw[at - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    quiet_line, kind = mixing.quiet[np.uint64(kind)], kind * DECISIONS
    whole, sign, level, s, v, u = np.int64(0), np.int64(1), np.int64(0), np.int64(0), np.int64(0), 0.0
    for x in range(len(row)):
        if mode:
            whole, sign, level = split(np.int64(np.int32(prepared[x] + p1 * s1 + p2 * s2)))
        now = np.int64(np.int32(active[x] + a1 * n1 + a2 * n2))
        expected = row_of(now, 0, scale.shift, bins) >> 2
        mu, mb, known = np.int64(raw[at + x - up]), np.int64(raw[at + x - back]), np.int64(energy[x])
        quiet = expected < QUIET and m1 + m2 + mu + mb == 0
        set_ = expected >> 1
        settled = way != CHOOSE
        if way == PUT:
            s = np.int64(row[x])
        elif way == CHOOSE:
            u = np.float64(latents[x])
            settled = mode == 0 and abs(u) < 0.5
            s = np.int64(0)
        v, d, have, more = abs(s - whole), np.int64(0), np.int64(0), np.int64(1)
        if quiet and settled:
            more = code_counted(np.int64(v > 0), quiet_line, expected, LIMIT, state, data)
            d = more
        if more:
            mr, near_sum = np.int64(raw[at + x - up + 1]), min(m1 + mu, 3)
            of_sources = _octave(np.int64(sources[x]), scale.shift, bins)
            of_near = _octave(now - np.int64(sources[x]), scale.shift, bins)
            pattern = ((min(m1, 3) * 4 + min(mu, 3)) * 4 + min(mb, 3)) * 4 + min(m2, 3)
            apart = min(bits_of(np.int64(first[x]) >> 4), 3) * 4 + min(bits_of(np.int64(second[x]) >> 4), 3)
            around = min(bits_of(known), 15) * 16 + min(bits_of(np.int64(active[x]) >> 8), 15)
            contexts[0] = BEGIN_0 + ((of_sources * 32 + of_near) * 4 + near_sum) * DECISIONS
            contexts[1] = BEGIN_1 + (pattern * 4 + min(mr, 3)) * DECISIONS
            contexts[2] = BEGIN_2 + ((apart * 4 + near_sum) * 16 + min(expected >> 2, 15)) * DECISIONS
            contexts[3] = BEGIN_3 + (around * 8 + min(m1 + mu + mb, 7)) * DECISIONS
            if not settled:
                if quiet:
                    ps[0] = probability(quiet_line[np.uint64(expected)])
                    have = np.int64(1)
                most = most_needed(np.int64(np.rint(u)), whole)
                while have <= most:
                    ps[have] = mix(have, contexts, inputs[have], mixing, have * SETS + set_, kind + have, outs[have])
                    have += 1
                s = chosen_for(u, whole, ps, weight)
                v = abs(s - whole)
                if quiet:
                    more = code_counted(np.int64(v > 0), quiet_line, expected, LIMIT, state, data)
                    d = more
            while more and d < DECISIONS:
                if have <= d:
                    ps[d] = mix(d, contexts, inputs[d], mixing, d * SETS + set_, kind + d, outs[d])
                more = code(np.int64(v > d), ps[d], state, data)
                teach(d, more, contexts, inputs[d], mixing, d * SETS + set_, kind + d, outs[d])
                d += more
            if more:
                d += _large(v - DECISIONS, mixing.exponents[np.uint64(expected >> 2)], state, data) - 1
        r = d
        if d:
            down = np.int64((s - whole) * sign < 0)
            if mode:
                down = code_counted(down, mixing.signs[np.uint64(kind // DECISIONS)], level, LIMIT, state, data)
            else:
                down = code(down, EVEN, state, data)
            if down:
                r = -d
        s = whole + r * sign
        if abs(s) >= LARGEST:
            return TOO_LARGE
        n2, s2, s1, m2 = n1, s1, s, m1
        n1, m1 = magnitude(r, scale), min(d, 255)
        row[x], sizes[at + x], values[at + x], raw[at + x] = s, n1, s, m1
        energy[x] = lagged(known, m1)
    return GOOD


@compiled
def _head(k, mode, base, kind, before, most, last, offset, mixing, state, data):
    """Class, predictor and border value of a channel; ``before`` says which of the last two had symbols.

    ``most`` is the last predictor that it may have."""
    line = mixing.heads[np.uint64(kind)]
    there = code_counted(np.int64(k > 0), line, before, LIMIT_HEAD, state, data)
    if most:
        j, begin = 0, 4 + 6 * there
        while j < most and code_counted(np.int64(mode > j), line, begin + j, LIMIT_HEAD, state, data):
            j += 1
        mode = j
        if mode:
            value = unsigned(base)
            bits = even(bits_of(value), BORDER_BITS, state, data)
            if bits > MOST_BORDER:
                return TOO_LARGE, k, mode, base
            got = np.int64(bits > 0)
            if bits > 1:
                got = 1 << (bits - 1) | even(value, bits - 1, state, data)
            base = signed(got)
    if not there:
        return GOOD, np.int64(0), mode, base
    seen = np.int64(last > 0)
    usual = min(max(last + offset, 1), CLASSES - 1) if seen else FIRST_CLASS
    lines = mixing.classes[np.uint64(seen)]
    if code_counted(np.int64(k != usual), lines[0], 0, LIMIT_HEAD, state, data):
        up = code_counted(np.int64(k > usual), lines[1], 0, LIMIT_HEAD, state, data)
        line, j, size = lines[np.uint64(up)], 1, abs(k - usual)
        while j < CLASSES - 1 and code_counted(np.int64(size > j), line, j, LIMIT_HEAD, state, data):
            j += 1
        k = usual + j if up else usual - j
    else:
        k = usual
    return GOOD if 0 < k < CLASSES else NO_CLASS, k, mode, base


@compiled
def walk(
    symbols, latents, way, weight, plane, tables, scales, bins, offsets, costs, near_rows, kinds, mixing, state, data
):
    """The symbols ``[L, N]`` of a part: put, got, or chosen for ``latents`` ``[L, N]`` and put."""
    alone, around, empty = near_rows
    starts, length, axes = plane.starts, plane.length, len(plane.around) // 2
    predictors, activity = tables.predictors.copy(), tables.activity
    channels, count = symbols.shape
    first = len(empty) - channels
    values, sizes = np.zeros(plane.size, np.int32), np.zeros(plane.size, np.int32)
    raw, whole = np.zeros(plane.size, np.int32), np.zeros(plane.size, np.int32)
    active, prepared = np.zeros(count, np.int32), np.zeros(length, np.int32)
    sources, energy = np.zeros(count, np.int32), np.zeros(count, np.int32)
    nothing = np.zeros(count, np.uint16)
    outer = np.zeros((2, (plane.rows - 1) * (length + BORDER) + length), np.int32)
    contexts, ps = np.zeros(4, np.int64), np.zeros(DECISIONS, np.int64)
    work = contexts, np.zeros((DECISIONS, INPUTS), np.int64), np.zeros((DECISIONS, 3), np.int64), ps
    up = plane.around[len(plane.around) - 3] if axes > 1 else np.int64(2)
    back = plane.around[len(plane.around) - 5] if axes > 2 else (2 * up if axes > 1 else np.int64(2))
    last, before = np.int64(0), np.int64(0)
    for c in range(channels):
        row, kind = symbols[c], np.int64(kinds[c])
        predictors[TRAINED] = tables.trained[c]
        predicted = predictors[TRAINED].any()
        most = len(predictors) - 1 if predicted else 0
        k, mode, base = np.int64(0), np.int64(0), np.int64(0)
        if way == CHOOSE and peak(latents[c].view(np.int32)) < SILENT:
            row[:] = 0
        elif way:
            if way == CHOOSE and predicted:
                for x in range(count):
                    row[x] = np.int32(np.rint(latents[c, x]))
            total = np.int64(0)
            if predicted:
                mode, base, total = choose(row, values, plane, predictors, whole)
            if mode == 0:
                total = _plain_symbols(latents[c], row) if way == CHOOSE else size_of(row)
            k = class_of(total, count, scales.bounds)
            if way == CHOOSE and k and mode == 0 and is_silent(latents[c], row, k, costs, weight):
                k = np.int64(0)
                row[:] = 0
        found, k, mode, base = _head(k, mode, base, kind, before, most, last, np.int64(offsets[c]), mixing, state, data)
        if found != GOOD:
            return found
        before = (before << 1 | np.int64(k > 0)) & 3
        empty[first + c] = k == 0
        if mode:
            values[:] = base
        weights, near = predictors[mode], activity[c]
        if k == 0:
            for x in range(count):
                energy[x] = lagged(np.int64(energy[x]), 0)
            if mode == 0:
                row[:] = 0
                continue
            for r in range(len(starts)):
                prepared[:] = 0
                prepare(values, starts[r], r, plane, weights, outer[0], prepared)
                if flat_row(row[r * length : (r + 1) * length], values, starts[r], prepared, weights) != GOOD:
                    return TOO_LARGE
            continue
        last = k
        from_channels(near[len(plane.causal) :], tables.sources[c], alone, around, empty, len(plane.around), active)
        sources[:] = active
        j0, j1 = tables.sources[c, 0], tables.sources[c, 1]
        one = alone[j0] if j0 >= 0 and not empty[j0] else nothing
        two = alone[j1] if j1 >= 0 and not empty[j1] else nothing
        sizes[:] = ONE
        raw[:] = 0
        prepared[:] = 0
        scale = scale_of(scales, k)
        for r in range(len(starts)):
            at, to, end = starts[r], r * length, (r + 1) * length
            if mode:
                prepared[:] = 0
                prepare(values, at, r, plane, weights, outer[0], prepared)
            prepare(sizes, at, r, plane, near, outer[1], active[to:end])
            found = _walk_row(row[to:end], latents[c, to:end] if way == CHOOSE else latents[0, :0], way, weight, values,
                              sizes, raw, energy[to:end], at, up, back, prepared, active[to:end], sources[to:end],
                              one[to:end], two[to:end], mode, weights, near, scale, bins, kind, work, mixing, state,
                              data)  # fmt: skip
            if found != GOOD:
                return found
        keep(sizes, plane, alone[first + c], around[first + c])
    return GOOD
