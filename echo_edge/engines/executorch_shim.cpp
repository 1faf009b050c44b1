// ExecuTorch's C++ runtime behind a C interface: open a graph, ask for its tensors, run, close.
//
// Inputs and outputs live in the caller's memory, so nothing is copied. All tensors are float32.
// Failing functions return null or a number other than 0; `ee_error` says why. No call throws.
// One handle belongs to one thread at a time.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor_ptr_maker.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

// Exported by libexecutorch_threadpool.so; its header is not in the wheel.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t new_thread_count);
  size_t get_thread_count() const;
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::extension::from_blob;
using executorch::extension::TensorPtr;
using executorch::extension::module::Module;
using executorch::extension::threadpool::NoThreadPoolGuard;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::MethodMeta;
using executorch::runtime::PalImpl;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::TensorInfo;

constexpr char kMethod[] = "forward";

// The library's last words while a call of this thread was under way, then what failed.
thread_local char logged[400] = "";
thread_local char failure[640] = "";

void keep_message(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t,
                  const char* message, size_t) {
  // The first error names the cause; what follows are its callers.
  if ((level == kError || level == kFatal) && logged[0] == '\0') {
    std::snprintf(logged, sizeof logged, "%s", message);
  }
}

int fail(const char* what, Error error) {
  const char* reason = logged[0] != '\0' ? logged : executorch::runtime::to_string(error);
  std::snprintf(failure, sizeof failure, "%s: %s", what, reason);
  for (char* c = failure; *c != '\0'; ++c) {
    if (*c == '\n') *c = ' ';
  }
  return 1;
}

// The library has one pool of threads, and each open graph keeps a pointer to it. So the pool may
// change only while no graph uses it; a graph with one thread uses none.
std::mutex pool_mutex;
int pool_users = 0;

int enter_pool(int threads) {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool == nullptr) return fail("cannot make threads", Error::Internal);
  const int found = static_cast<int>(pool->get_thread_count());
  if (found != threads) {
    if (pool_users > 0) {
      std::snprintf(failure, sizeof failure,
                    "found graphs open with %d threads, expected %d: close those first, or use 1",
                    found, threads);
      return 1;
    }
    pool->_unsafe_reset_threadpool(static_cast<uint32_t>(threads));
  }
  ++pool_users;
  return 0;
}

void leave_pool() {
  const std::lock_guard<std::mutex> lock(pool_mutex);
  --pool_users;
}

struct Graph {
  std::unique_ptr<Module> module;
  std::vector<TensorPtr> inputs, outputs;  // whose data are the caller's, set before each run
  bool in_pool = false;

  ~Graph() {
    module.reset();
    if (in_pool) leave_pool();
  }
};

// While it lives, the library works in the calling thread only, if `alone`.
class Alone {
 public:
  explicit Alone(bool alone) : before_(NoThreadPoolGuard::is_enabled()) {
    NoThreadPoolGuard::set_enabled(alone);
  }
  ~Alone() { NoThreadPoolGuard::set_enabled(before_); }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  const bool before_;
};

// False unless every tensor is float32, which is all that `ee_run` can pass.
bool read_tensors(const MethodMeta& meta, bool output, std::vector<TensorPtr>* tensors) {
  const size_t count = output ? meta.num_outputs() : meta.num_inputs();
  for (size_t i = 0; i < count; ++i) {
    Result<TensorInfo> info = output ? meta.output_tensor_meta(i) : meta.input_tensor_meta(i);
    if (!info.ok() || info->scalar_type() != executorch::aten::ScalarType::Float) return false;
    const auto sizes = info->sizes();
    tensors->push_back(from_blob(nullptr, {sizes.begin(), sizes.end()}));
  }
  return true;
}

int open_graph(const char* path, int threads, Graph* graph) {
  if (threads > 1) {
    if (enter_pool(threads) != 0) return 1;
    graph->in_pool = true;
  }
  const Alone alone(!graph->in_pool);
  graph->module = std::make_unique<Module>(path, Module::LoadMode::Mmap);
  Error error = graph->module->load(Program::Verification::InternalConsistency);
  if (error != Error::Ok) return fail("cannot read it", error);
  error = graph->module->load_method(kMethod);
  if (error != Error::Ok) return fail("cannot load it", error);
  Result<MethodMeta> meta = graph->module->method_meta(kMethod);
  if (!meta.ok()) return fail("cannot read its tensors", meta.error());
  if (!read_tensors(*meta, false, &graph->inputs) || !read_tensors(*meta, true, &graph->outputs)) {
    logged[0] = '\0';
    return fail("found tensors that are not float32", Error::NotSupported);
  }
  return 0;
}

int run_graph(Graph* graph, float* const* inputs, float* const* outputs) {
  const Alone alone(!graph->in_pool);
  std::vector<EValue> values;
  for (size_t i = 0; i < graph->inputs.size(); ++i) {
    graph->inputs[i]->unsafeGetTensorImpl()->set_data(inputs[i]);
    values.emplace_back(graph->inputs[i]);
  }
  for (size_t i = 0; i < graph->outputs.size(); ++i) {
    graph->outputs[i]->unsafeGetTensorImpl()->set_data(outputs[i]);
    const Error error = graph->module->set_output(kMethod, graph->outputs[i], i);
    if (error != Error::Ok) return fail("cannot set an output", error);
  }
  auto result = graph->module->execute(kMethod, values);
  return result.ok() ? 0 : fail("cannot run it", result.error());
}

}  // namespace

#pragma GCC visibility push(default)

extern "C" {

// Why the last call of this thread failed, in one line.
const char* ee_error(void) { return failure; }

// A graph that runs in `threads` threads, or null.
void* ee_open(const char* path, int threads) {
  static const bool kept = [] {  // messages are kept instead of printed
    executorch::runtime::runtime_init();
    return executorch::runtime::register_pal(PalImpl::create(keep_message, __FILE__));
  }();
  (void)kept;
  logged[0] = failure[0] = '\0';
  auto graph = std::make_unique<Graph>();
  try {
    return open_graph(path, threads, graph.get()) == 0 ? graph.release() : nullptr;
  } catch (const std::exception& error) {
    fail(error.what(), Error::Internal);
    return nullptr;
  }
}

// How many inputs (`side` 0) or outputs (`side` 1) the graph has.
int ee_count(const void* handle, int side) {
  const auto* graph = static_cast<const Graph*>(handle);
  return static_cast<int>(side == 0 ? graph->inputs.size() : graph->outputs.size());
}

// The rank of one tensor; its first `most` sizes go to `shape`.
int ee_shape(const void* handle, int side, int index, int32_t* shape, int most) {
  const auto* graph = static_cast<const Graph*>(handle);
  const auto& sizes = (side == 0 ? graph->inputs : graph->outputs)[index]->sizes();
  const size_t count = std::min<size_t>(sizes.size(), most);
  std::copy(sizes.begin(), sizes.begin() + count, shape);
  return static_cast<int>(sizes.size());
}

// One call of the graph, 0 if it worked: float32 arrays, C order, of the sizes `ee_shape` gives.
int ee_run(void* handle, float* const* inputs, float* const* outputs) {
  logged[0] = failure[0] = '\0';
  try {
    return run_graph(static_cast<Graph*>(handle), inputs, outputs);
  } catch (const std::exception& error) {
    return fail(error.what(), Error::Internal);
  }
}

void ee_close(void* handle) { delete static_cast<Graph*>(handle); }

}  // extern "C"

#pragma GCC visibility pop
