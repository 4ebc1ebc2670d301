/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_vectors.h: draws jobs of boxes, distances of vectors, mining, directions and matrix products. */
#ifndef FUZZ_VECTORS_H
#define FUZZ_VECTORS_H

#include "fuzz_job.h"

/* rows x wide numbers, as an operand over the rows; the stride along a row. */
static ptrdiff_t by_row(struct source *s, fl_operand *op, ptrdiff_t rows, ptrdiff_t wide, int dtype, int values) {
    const ptrdiff_t shape[2] = {rows, wide};
    const int swapped = fl_itemsize(dtype) > 1 && chance(s, 15);
    ptrdiff_t strides[2];
    char *data = array(s, 2, shape, strides, dtype, swapped, 0, any_layout(s), values);
    fl_operand_init(op, data, dtype, swapped, 1, &rows, strides);
    return strides[1];
}

static void optional(struct source *s, fl_operand *op, ptrdiff_t n, int percent, int dtype, int values) {
    if (chance(s, percent)) operand(s, op, 1, &n, dtype, 2, values);
}

static void draw_boxes(struct source *s) {
    fl_box_job *b = &job.box;
    const ptrdiff_t block = FL_BOX_BYTES / job.real_size;
    b->kind = (int)pick(s, 4);
    b->centers = chance(s, 50);
    b->positions = ONE_OF(s, 1, 2, 7, 15, 16, 17, 33, 64, 129, 257, 300);
    b->columns = ONE_OF(s, 1, 2, 16, 17, 33, 129, 257);
    b->input_stride = by_row(s, &b->input, b->positions, 4, real_or_any(s, 0), job.values);
    const ptrdiff_t others = job.kind == BOX ? b->positions : b->columns;
    b->target_stride = by_row(s, &b->target, others, 4, real_or_any(s, 0), job.values);
    b->eps = chance(s, 50) ? 0 : 1e-7;
    b->scale = 1.0 / (double)ONE_OF(s, 1, 3, 1000);
    job.size = b->positions;
    if (job.kind == BOX_MATRIX) {
        b->value = reals(b->positions * b->columns);
        job.units = (b->positions + FL_BOX_ROWS - 1) / FL_BOX_ROWS * ((b->columns + block - 1) / block);
        return;
    }
    optional(s, &b->mask, b->positions, 25, FL_BOOL, TAME);
    optional(s, &b->grad_output, b->positions, 25, real_or_any(s, 1), job.values);
    if (chance(s, 50)) b->value = reals(b->positions);
    if (chance(s, 60)) b->grad = reals(4 * b->positions);
    job.units = (b->positions + block - 1) / block;
}

static void draw_distance(struct source *s) {
    fl_distance_job *d = &job.distance;
    d->loss = (int)pick(s, 4);
    const int signs = d->loss == FL_COSINE_EMBEDDING, halves = d->loss == FL_CONTRASTIVE;
    d->metric = signs ? FL_SHIFTED_COSINE : halves ? FL_EUCLIDEAN : (int)pick(s, FL_COSINE + 1);
    d->vectors = d->loss == FL_TRIPLET ? 3 : 2;
    d->swap = d->vectors == 3 && chance(s, 40);
    d->features = ONE_OF(s, 1, 2, 3, 15, 16, 17, 33, 64, 65, 300, 1030);
    const ptrdiff_t most = 3000 / d->features;
    d->rows = 1 + pick(s, most < 1 ? 1 : most > 150 ? 150 : most);
    d->stream = (int)(d->rows & 1); /* no draw of its own: the jobs of a seed stay what they were */
    d->p = (double)ONE_OF(s, 1, 2, 3, 6) / 2, d->eps = 1e-6, d->margin = (double)ONE_OF(s, 0, 1, 4) / 2;
    d->scale = 1.0 / (double)ONE_OF(s, 1, 3, 1000);
    d->want = FL_VALUE | (chance(s, 60) ? FL_GRAD : 0);
    for (int k = 0; k < d->vectors; k++) {
        d->feature_stride[k] = by_row(s, &d->in[k], d->rows, d->features, real_or_any(s, 0), job.values);
        const ptrdiff_t stride = d->features * job.real_size;
        d->grad_stride[k] = job.real_size;
        if (d->want & FL_GRAD)
            fl_operand_init(&d->grad[k], reals(d->rows * d->features), job.real, 0, 1, &d->rows, &stride);
    }
    if (signs || halves) { /* 1 and -1, or 0 and 1; now and then what is neither */
        const ptrdiff_t item = 4;
        int32_t *target = (int32_t *)(void *)memory((size_t)(4 * d->rows), 0);
        for (ptrdiff_t r = 0; r < d->rows; r++) {
            target[r] = any(s) >> 60 & 1 ? 1 : signs ? -1 : 0;
            if (any(s) % 400 == 0) target[r] = (int32_t)any(s);
        }
        fl_operand_init(&d->target, target, FL_INT32, 0, 1, &d->rows, &item);
    }
    optional(s, &d->mask, d->rows, 25, FL_BOOL, TAME);
    optional(s, &d->grad_output, d->rows, 25, real_or_any(s, 1), job.values);
    if (chance(s, 50)) d->value = reals(d->rows);
    job.size = d->rows * d->features;
}

/* Everything padded to whole lanes. */
static void draw_mining(struct source *s) {
    fl_mining_job *m = &job.mining;
    const int size = job.real_size;
    m->count = ONE_OF(s, 1, 2, 3, 15, 16, 17, 33, 64, 65, 128, 129, 300);
    m->features = FL_LANES * (1 + pick(s, 3));
    m->first = pick(s, m->count);
    m->rows = 1 + pick(s, m->count - m->first);
    const ptrdiff_t lanes = (m->count + FL_LANES - 1) / FL_LANES * FL_LANES, used = 1 + pick(s, m->features);
    double *x = (double *)(void *)memory((size_t)(m->count * m->features) * sizeof(double), 0);
    char *vectors = memory((size_t)(m->count * m->features * size), 0), *square = memory((size_t)(lanes * size), 0);
    char *label = memory((size_t)(lanes * size), 0), *products = memory((size_t)(m->rows * lanes * size), 0);
    for (ptrdiff_t i = 0; i < m->count * m->features; i++) {
        x[i] = i % m->features < used ? number(s, job.values == WILD ? UNIT_VALUES : job.values) : 0;
        encode(vectors + i * size, job.real, 0, x[i]);
    }
    for (ptrdiff_t j = 0; j < lanes; j++) {
        const int64_t own = j < m->count ? (int64_t)(any(s) >> 62) : -1;
        double sum = 0;
        for (ptrdiff_t f = 0; j < m->count && f < m->features; f++) sum += x[j * m->features + f] * x[j * m->features + f];
        encode(square + j * size, job.real, 0, sum);
        memcpy(label + j * size, &own, (size_t)size); /* little-endian */
        m->largest_square = sum > m->largest_square ? sum : m->largest_square;
        for (ptrdiff_t r = 0; r < m->rows; r++) {
            double product = 0;
            for (ptrdiff_t f = 0; j < m->count && f < m->features; f++)
                product += x[(m->first + r) * m->features + f] * x[j * m->features + f];
            encode(products + (r * lanes + j) * size, job.real, 0, product);
        }
    }
    m->bound = size == 4 ? 1e-5 : 1e-13;
    m->vectors = vectors, m->square = square, m->label = label, m->products = products;
    m->positive = output(m->rows, 0, (char)0xa5), m->negative = output(m->rows, 0, (char)0xa5);
    job.units = m->rows;
    job.size = m->count * m->features;
}

static void draw_directions(struct source *s) {
    fl_direction_job *d = &job.direction;
    const int size = job.real_size;
    const ptrdiff_t rows = 1 + pick(s, 9);
    d->features = FL_LANES * pick(s, 9);
    d->want = chance(s, 50) ? FL_GRAD : FL_VALUE;
    d->factor = ONE_OF(s, 1, 1, 2, 20), d->least = 1e-12;
    const ptrdiff_t cells = rows * d->features, used = 1 + pick(s, d->features + 1);
    char *x = memory((size_t)(cells * size), 0), *g = memory((size_t)(cells * size), 0);
    for (ptrdiff_t i = 0; i < cells; i++) {
        encode(x + i * size, job.real, 0, i % d->features < used ? number(s, job.values) : 0);
        encode(g + i * size, job.real, 0, i % d->features < used ? number(s, job.values) : 0);
    }
    d->vectors = x, d->gradient = d->want == FL_GRAD ? g : NULL;
    d->out = reals(cells);
    job.units = rows;
    job.size = cells;
}

/* A matrix, rows or columns of which are contiguous, with a gap behind each; the steps are told in reals. */
static const char *matrix(struct source *s, ptrdiff_t vectors, ptrdiff_t size, ptrdiff_t *apart, ptrdiff_t *along) {
    const int turned = chance(s, 50);
    const ptrdiff_t gap = pick(s, 4), line = (turned ? vectors : size) + gap, lines = turned ? size : vectors;
    const ptrdiff_t cells = line * lines - gap;
    char *data = memory((size_t)(cells * job.real_size), 0);
    for (ptrdiff_t i = 0; i < cells; i++) encode(data + i * job.real_size, job.real, 0, number(s, job.values));
    *apart = turned ? 1 : line;
    *along = turned ? line : 1;
    return data;
}

static void draw_product(struct source *s) {
    fl_product_job *p = &job.product;
    p->rows = ONE_OF(s, 1, 2, 5, 6, 7, 12, 13, 24, 47, 48, 49, 100);
    p->columns = ONE_OF(s, 1, 3, 8, 15, 16, 17, 32, 33, 100, 520);
    p->depth = ONE_OF(s, 1, 2, 7, 8, 15, 16, 17, 127, 128, 129, 200, 300);
    p->a = matrix(s, p->rows, p->depth, &p->a_apart, &p->a_along);
    p->b = matrix(s, p->columns, p->depth, &p->b_apart, &p->b_along);
    p->out_apart = p->columns + pick(s, 4);
    p->out = reals((p->rows - 1) * p->out_apart + p->columns);
    p->add = chance(s, 50);
    job.packed = chance(s, 50);
    job.size = p->rows * p->columns;
}

#endif
