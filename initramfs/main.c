/*
 * /init: one static program, all Python code frozen into it. Isolated: no site, no environment, no path to import
 * from, no argument read. Only `shim.init.main()` runs, and only as PID 1; anybody else is told what this is.
 */
#include <Python.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "frozen_modules.h"

#define LAST_RESORT_SECONDS 10

extern PyObject *PyInit__cffi_backend(void);
extern PyObject *PyInit__shim_edge(void);

static const wchar_t program_name[] = L"/init";

static PyStatus start(void)
{
	PyPreConfig preconfig;
	PyConfig config;
	PyStatus status;

	PyPreConfig_InitIsolatedConfig(&preconfig);
	preconfig.utf8_mode = 1;
	status = Py_PreInitialize(&preconfig);
	if (PyStatus_Exception(status))
		return status;

	PyConfig_InitIsolatedConfig(&config);
	config.site_import = 0;
	config.write_bytecode = 0;
	config.optimization_level = 2;
	config.pathconfig_warnings = 0;
	config.install_signal_handlers = 0;
	config.module_search_paths_set = 1;	/* and empty */
	config.use_frozen_modules = 1;
	status = PyConfig_SetString(&config, &config.program_name, program_name);
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	return status;
}

/* Take away the importers that look into a file system; built-in and frozen modules remain. */
static int seal_imports(void)
{
	PyObject *finders = PySys_GetObject("meta_path");
	PyObject *hooks = PyList_New(0);
	int result = -1;

	if (finders && hooks && PyList_Size(finders) == 3 && PyList_SetSlice(finders, 2, 3, NULL) == 0)
		result = PySys_SetObject("path_hooks", hooks);
	Py_XDECREF(hooks);
	return result;
}

static int call(const char *module_name, const char *function)
{
	PyObject *module = PyImport_ImportModule(module_name);
	PyObject *result = module ? PyObject_CallMethod(module, function, NULL) : NULL;

	Py_XDECREF(module);
	Py_XDECREF(result);
	return result ? 0 : -1;
}

/* Import every frozen module: the build runs this, so that nothing is found missing at boot. */
static int import_all(void)
{
	const struct _frozen *entry;

	for (entry = frozen_modules; entry->name; entry++) {
		PyObject *module = PyImport_ImportModule(entry->name);

		if (!module) {
			fprintf(stderr, "cannot import %s\n", entry->name);
			return -1;
		}
		Py_DECREF(module);
	}
	return 0;
}

int main(void)
{
	int is_init = getpid() == 1, failed;
	PyStatus status;

	PyImport_FrozenModules = frozen_modules;
	PyImport_AppendInittab("_cffi_backend", PyInit__cffi_backend);
	PyImport_AppendInittab("_shim_edge", PyInit__shim_edge);
	status = start();
	failed = PyStatus_Exception(status);
	if (failed)
		fprintf(stderr, "bootshim: Python does not start: %s\n", status.err_msg ? status.err_msg : "unknown");
	else
		failed = seal_imports() || (is_init ? call("shim.init", "main") : import_all());
	if (failed && !PyStatus_Exception(status))
		PyErr_Print();
	if (!is_init) {
		if (!failed)
			puts("bootshim: runs as /init only; all frozen modules can be imported");
		return failed ? 1 : 0;
	}
	fprintf(stderr, "bootshim: /init has ended: reset in %d s\n", LAST_RESORT_SECONDS);
	sleep(LAST_RESORT_SECONDS);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
