/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels.c: all kernels of one (ISA x real), compiled once per pair with -DFL_ISA=<name> -DFL_REAL=<32|64> and the ISA's
 * flags. Everything is static but the one table below. */
#include "real.h"

#define FL_TEXT_(x) #x
#define FL_TEXT(x) FL_TEXT_(x)
#define FL_JOIN_(a, b, c, d) a##b##c##d
#define FL_JOIN(a, b, c, d) FL_JOIN_(a, b, c, d)
#define kernels FL_JOIN(fl_kernels_, FL_ISA, _, FL_REAL)
extern const fl_kernels kernels;

#include "load.h"
#include "row_sums.h"
#include "margin.h"
#include "multilabel.h"
#include "softmax.h"
#include "softmax_probabilities.h"
#include "ctc.h"
#include "tokens.h"
#include "linear.h"
#include "box.h"
#include "mining.h"
#include "directions.h"
#include "product.h"
#include "overlap_masks.h"
#include "lovasz.h"
#include "actions.h"
#include "scan.h"

#define FL_LOAD_NATIVE(dtype, size) [dtype] = load_native_##dtype,
#define FL_LOAD_SWAPPED(dtype, size) [dtype] = load_swapped_##dtype,

const fl_kernels kernels = {
    .isa = FL_TEXT(FL_ISA),
    .real_size = sizeof(real),
    .n_losses = N_LOSSES,
    .losses = elementwise_losses,
    .elementwise = elementwise_block,
    .fold_stages = fold_stages,
    .row_sums = sums_of_rows,
    .row_gradients = gradients_of_rows,
    .row_block = row_block,
    .cross_entropy = cross_entropy_block,
    .probabilities = probabilities_block,
    .row_labels = row_labels,
    .multi_margin = multi_margin_block,
    .multilabel_margin = multilabel_margin_block,
    .multilabel_labels = multilabel_labels,
    .ctc_workspace = ctc_workspace,
    .ctc = ctc_sequence,
    .tokens = tokens_block,
    .policy = policy_block,
    .actions = action_block,
    .scan = scan_block,
    .linear_row = linear_row,
#if FL_REAL == 64
    .linear_rows = linear_rows,
#endif
    .box = box_block,
    .box_matrix = box_matrix_block,
    .distance_block = distance_block,
    .distance = distance_rows,
    .mine_row = mine_row,
    .direction_row = direction_row,
    .product_rows = P_TILE_ROWS,
    .product_panel = P_COLUMNS,
    .product_columns = P_TILE_PANELS * P_COLUMNS,
    .product_depth = PRODUCT_DEPTH,
    .pack_product = pack_product,
    .product = product_tile,
    .overlap_sums = overlap_sums,
    .overlap_gradient = overlap_gradient,
    .lovasz_workspace = lovasz_workspace,
    .lovasz_class = lovasz_class,
    .lovasz_chain = lovasz_chain,
    .load = {{FL_EACH_DTYPE(FL_LOAD_NATIVE)}, {FL_EACH_DTYPE(FL_LOAD_SWAPPED)}},
};
