/* The own predictors of LightGBM and XGBoost, timed: for `benchmark predict`, which compiles and asks it.
 *
 *   boosters LIBRARY lightgbm|xgboost MODEL NUMBERS WIDTH
 *
 * For each line of standard input, `single` or `batch`, one line: the nanoseconds of a row. `values FILE` writes what is predicted
 * for every row, as floats. One thread each. */

#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 1000, FLOAT32 = 0, NORMAL = 0, ROW_MAJOR = 1 };
#define PERIOD_NS 200e6

static void *library;
static float *numbers;
static int width, rows;
static volatile double kept;

static void die(const char *what) {
  fprintf(stderr, "boosters: %s\n", what);
  exit(1);
}

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) die(name);
  return found;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Predicts rows [first, first + count) into values. */
static void (*predict)(int first, int count, double *values);

/* LightGBM: https://lightgbm.readthedocs.io/en/latest/C-API.html */
static void *booster, *fast;
static int (*lgb_single)(void *, const void *, int64_t *, double *);
static int (*lgb_batch)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *, double *);

static void lightgbm_predict(int first, int count, double *values) {
  int64_t length;
  const float *row = numbers + (size_t)first * width;
  int failed = count == 1 ? lgb_single(fast, row, &length, values)
                          : lgb_batch(booster, row, FLOAT32, count, width, ROW_MAJOR, NORMAL, 0, -1, "num_threads=1",
                                      &length, values);
  if (failed) die("LightGBM does not predict");
}

static void lightgbm(const char *model) {
  int (*open)(const char *, int *, void **) = symbol("LGBM_BoosterCreateFromModelfile");
  int (*prepare)(void *, int, int, int, int, int32_t, const char *, void **) =
      symbol("LGBM_BoosterPredictForMatSingleRowFastInit");
  lgb_single = symbol("LGBM_BoosterPredictForMatSingleRowFast");
  lgb_batch = symbol("LGBM_BoosterPredictForMat");
  int iterations;
  if (open(model, &iterations, &booster)) die("LightGBM does not read the model");
  if (prepare(booster, NORMAL, 0, -1, FLOAT32, width, "num_threads=1", &fast)) die("LightGBM is not ready");
  predict = lightgbm_predict;
}

/* XGBoost: https://xgboost.readthedocs.io/en/stable/dev/group__Prediction.html */
static int (*xgb_dense)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *, const float **);
static void *proxy;

static void xgboost_predict(int first, int count, double *values) {
  static const char config[] =
      "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,\"missing\":NaN}";
  char array[160];
  const uint64_t *shape;
  uint64_t dims;
  const float *answer;
  snprintf(array, sizeof array, "{\"data\":[%llu,true],\"shape\":[%d,%d],\"typestr\":\"<f4\",\"version\":3}",
           (unsigned long long)(uintptr_t)(numbers + (size_t)first * width), count, width);
  if (xgb_dense(booster, array, config, proxy, &shape, &dims, &answer)) die("XGBoost does not predict");
  for (int at = 0; at < count; at++) values[at] = answer[at];
}

static void xgboost(const char *model) {
  int (*create)(void *const *, uint64_t, void **) = symbol("XGBoosterCreate");
  int (*load)(void *, const char *) = symbol("XGBoosterLoadModel");
  int (*set)(void *, const char *, const char *) = symbol("XGBoosterSetParam");
  int (*make_proxy)(void **) = symbol("XGProxyDMatrixCreate");
  xgb_dense = symbol("XGBoosterPredictFromDense");
  if (create(NULL, 0, &booster) || load(booster, model)) die("XGBoost does not read the model");
  if (set(booster, "nthread", "1") || make_proxy(&proxy)) die("XGBoost is not ready");
  predict = xgboost_predict;
}

/* Returns the nanoseconds of a row, `count` at a time, all rows over and over. */
static double measure(int count) {
  double values[BATCH], sum = 0, began = now(), taken;
  long asked = 0;
  do {
    for (int first = 0; first + count <= rows; first += count) {
      predict(first, count, values);
      sum += values[0];
      asked += count;
      if (count == 1 && asked % 256 == 0 && now() - began > PERIOD_NS) break;
    }
    taken = now() - began;
  } while (taken < PERIOD_NS);
  kept = sum;
  return taken / asked;
}

static void write_values(const char *path) {
  FILE *file = fopen(path, "wb");
  if (!file) die("the values cannot be written");
  double value;
  for (int row = 0; row < rows; row++) {
    predict(row, 1, &value);
    float single = value;
    fwrite(&single, sizeof single, 1, file);
  }
  if (fclose(file)) die("the values cannot be written");
}

int main(int count, char **arguments) {
  if (count != 6) die("LIBRARY lightgbm|xgboost MODEL NUMBERS WIDTH");
  library = dlopen(arguments[1], RTLD_NOW);
  if (!library) die(dlerror());
  width = atoi(arguments[5]);
  FILE *file = fopen(arguments[4], "rb");
  if (!file || fseek(file, 0, SEEK_END)) die("the numbers cannot be read");
  long bytes = ftell(file);
  rewind(file);
  numbers = malloc(bytes);
  if (!numbers || fread(numbers, 1, bytes, file) != (size_t)bytes) die("the numbers cannot be read");
  rows = bytes / sizeof *numbers / width;
  if (strcmp(arguments[2], "lightgbm") == 0) lightgbm(arguments[3]);
  else xgboost(arguments[3]);
  char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "values ", 7) == 0) write_values(line + 7), puts("0");
    else printf("%.1f\n", measure(strcmp(line, "batch") == 0 ? BATCH : 1));
    fflush(stdout);
  }
  return 0;
}
