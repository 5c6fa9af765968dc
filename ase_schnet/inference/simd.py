"""Vectors of numbers for the innermost loops: what the compiler would not find by itself.

numba leaves vectorising to LLVM, which must assume that every array may overlap every other and tests for it
before each short loop; that costs more than the loop. Here the vector instructions are asked for by name. A
`Vector` exists in compiled code only and has as many lanes as a register of this processor holds
(`registers.py`; the environment variable ASE_SCHNET_REGISTER_BYTES = 16, 32 or 64 forces another width).

    loads(n)             makes load(a, i, c): the lanes a[i, c], a[i, c + 1], ... of n registers side by side,
                         of a 2-D array whose rows are a multiple of PAD wide
    store(a, i, c, v)    the other way
    splats(n)            makes splat(x): x in every lane of n registers
    muladd(a, b, c)      a · b + c in one instruction if the processor has it; mul(a, b), add(a, b)
    total(v)             sum of the lanes
    add_products(r, v)   makes out[i:i + r, c:...] += x[i:i + r] w, r rows by v vectors held in registers
    add_products(r, v, transposed=True)   makes out[i:i + r, c:...] += x[:, i:i + r]ᵀ w, likewise
    store_polynomials(p) makes a[i] = factor · (p_0(x), p_1(x), ...), p their coefficients from the lowest on
    mirror(a, i, c)      a[c:c + lanes, i:i + lanes] = a[i:i + lanes, c:c + lanes]ᵀ
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from ase_schnet.inference.registers import TRIPLE, register_bytes

BYTES = register_bytes()  # of a register
REGISTERS = 16 if TRIPLE.startswith("x86_64") and BYTES < 64 else 32  # x86 without AVX-512 has 16
PAD = 16  # rows are padded to a multiple of this, which is a multiple of any number of lanes
FUSE = ("contract",)  # a multiplication and an addition may become one instruction
INT32 = ir.IntType(32)


class Vector(types.Type):
    """Tell numba of registers full of `dtype`, which LLVM works on one by one."""

    def __init__(self, dtype, registers=1):
        self.dtype, self.lanes = dtype, registers * BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({self.lanes} x {dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def _address(context, builder, array_type, array, row, column, lanes=None):
    """Of array[row, column], as a pointer to a vector, for a C-contiguous 2-D array."""
    view = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, view.shape)[1]
    element = builder.gep(view.data, [builder.add(builder.mul(row, width), column)])
    lanes = lanes or Vector(array_type.dtype).lanes
    vector = ir.VectorType(context.get_value_type(array_type.dtype), lanes)
    return builder.bitcast(element, vector.as_pointer())


def _read(builder, address):
    vector = builder.load(address)
    vector.align = 4  # numpy promises no more
    return vector


def _write(builder, vector, address):
    builder.store(vector, address).align = 4


def _splat(builder, number, vector_type):
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, number, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _muladd(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=FUSE), c, flags=FUSE)


def loads(registers: int):
    """Return the intrinsic that fills so many registers from a row."""

    @intrinsic
    def load(typing, array, row, column):
        vector = Vector(array.dtype, registers)

        def emit(context, builder, signature, args):
            array_type = signature.args[0]
            return _read(builder, _address(context, builder, array_type, *args, vector.lanes))

        return vector(array, types.intp, types.intp), emit

    return load


def splats(registers: int):
    """Return the intrinsic that fills so many registers with one number."""

    @intrinsic
    def splat(typing, number):
        def emit(context, builder, signature, args):
            return _splat(builder, args[0], context.get_value_type(signature.return_type))

        return Vector(number, registers)(number), emit

    return splat


@intrinsic
def store(typing, array, row, column, vector):
    """Set array[row, column:column + lanes] to a vector."""

    def emit(context, builder, signature, args):
        array_type, lanes = signature.args[0], signature.args[3].lanes
        _write(builder, args[3], _address(context, builder, array_type, *args[:3], lanes))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), emit


@intrinsic
def muladd(typing, a, b, c):
    """Return a · b + c."""

    def emit(context, builder, signature, args):
        return _muladd(builder, *args)

    return a(a, b, c), emit


@intrinsic
def mul(typing, a, b):
    """Return a · b."""

    def emit(context, builder, signature, args):
        return builder.fmul(*args)

    return a(a, b), emit


@intrinsic
def add(typing, a, b):
    """Return a + b."""

    def emit(context, builder, signature, args):
        return builder.fadd(*args)

    return a(a, b), emit


@intrinsic
def total(typing, vector):
    """Return the sum of the lanes: the upper half is added to the lower one, until one lane is left."""

    def emit(context, builder, signature, args):
        value, lanes = args[0], signature.args[0].lanes
        while lanes > 1:
            lanes //= 2
            halves = [
                ir.Constant(ir.VectorType(INT32, lanes), list(range(k, k + lanes)))
                for k in (0, lanes)
            ]
            low, high = (builder.shuffle_vector(value, value, half) for half in halves)
            value = builder.fadd(low, high)
        return builder.extract_element(value, INT32(0))

    return vector.dtype(vector), emit


def store_polynomials(coefficients):
    """Return the intrinsic that fills a row with `factor` times polynomials of x, all side by side.

    Parameters
    ----------
    coefficients
        (polynomials, powers), from the constant on.
    """
    powers = [[float(number) for number in power] for power in zip(*coefficients, strict=True)]

    @intrinsic
    def store_all(typing, array, row, x, factor):
        def emit(context, builder, signature, args):
            array, row, x, factor = args
            vector = ir.VectorType(ir.DoubleType(), len(powers[0]))
            x, factor = _splat(builder, x, vector), _splat(builder, factor, vector)
            value = ir.Constant(vector, powers[-1])
            for power in powers[-2::-1]:
                value = _muladd(builder, value, x, ir.Constant(vector, power))
            value = builder.fmul(value, factor)
            element = context.get_value_type(signature.args[0].dtype)
            if element != vector.element:
                value = builder.fptrunc(value, ir.VectorType(element, vector.count))
            zero = context.get_value_type(types.intp)(0)
            address = _address(context, builder, signature.args[0], array, row, zero, vector.count)
            _write(builder, value, address)
            return context.get_dummy_value()

        return types.void(array, types.intp, types.float64, types.float64), emit

    return store_all


@intrinsic
def mirror(typing, array, row, column):
    """Set array[column:column + lanes, row:row + lanes] to array[row:row + lanes, column:column + lanes]ᵀ."""

    def emit(context, builder, signature, args):
        array, row, column = args
        index, lanes = context.get_value_type(types.intp), Vector(signature.args[0].dtype).lanes

        def address(at, k, beside):
            return _address(
                context, builder, signature.args[0], array, builder.add(at, index(k)), beside
            )

        block = [_read(builder, address(row, k, column)) for k in range(lanes)]
        half = lanes // 2
        pairs = [(k // 2) + (k % 2) * lanes for k in range(2 * lanes)]  # a0 b0 a1 b1 ...
        low, high = (
            ir.Constant(ir.VectorType(INT32, lanes), part)
            for part in (pairs[:lanes], pairs[lanes:])
        )
        for _ in range(lanes.bit_length() - 1):  # every perfect shuffle turns one bit of the index
            block = [
                builder.shuffle_vector(block[k], block[k + half], mask)
                for k in range(half)
                for mask in (low, high)
            ]
        for k in range(lanes):
            _write(builder, block[k], address(column, k, row))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), emit


def add_products(rows: int, vectors: int, transposed: bool = False):
    """Return the intrinsic for a tile of `rows` rows by `vectors` vectors.

    With `transposed` it reads xᵀ in place of x. w may be float32 where x and out are float64: half the memory
    to fetch, widened on its way.
    """

    @intrinsic
    def add_tile(typing, x, w, out, row, column):
        def emit(context, builder, signature, args):
            (x, w, out, row, column), index = args, context.get_value_type(types.intp)
            x_type, w_type, out_type = signature.args[:3]
            tile = [(r, v) for r in range(rows) for v in range(vectors)]
            lanes = Vector(out_type.dtype).lanes

            def place(r, v):
                return (builder.add(row, index(r)), builder.add(column, index(v * lanes)))

            targets = {
                (r, v): _address(context, builder, out_type, out, *place(r, v)) for r, v in tile
            }
            sums = {
                at: cgutils.alloca_once_value(builder, _read(builder, targets[at])) for at in tile
            }
            view = context.make_array(x_type)(context, builder, x)
            height, width = cgutils.unpack_tuple(builder, view.shape)
            depth, stride = (height, width) if transposed else (width, index(1))
            places_of_rows = [builder.add(row, index(r)) for r in range(rows)]
            starts = [
                builder.gep(view.data, [at if transposed else builder.mul(at, width)])
                for at in places_of_rows
            ]
            with cgutils.for_range(builder, depth) as loop:
                weights = []
                for v in range(vectors):
                    at = (loop.index, place(0, v)[1])
                    weight = _read(builder, _address(context, builder, w_type, w, *at, lanes))
                    if w_type.dtype != out_type.dtype:
                        weight = builder.fpext(
                            weight, context.get_value_type(Vector(out_type.dtype))
                        )
                    weights.append(weight)
                for r in range(rows):
                    number = builder.load(builder.gep(starts[r], [builder.mul(loop.index, stride)]))
                    factor = _splat(builder, number, weights[0].type)
                    for v in range(vectors):
                        value = _muladd(builder, factor, weights[v], builder.load(sums[r, v]))
                        builder.store(value, sums[r, v])
            for at in tile:
                _write(builder, builder.load(sums[at]), targets[at])
            return context.get_dummy_value()

        return types.void(x, w, out, types.intp, types.intp), emit

    return add_tile
