# make modules   the nginx modules, for the nginx that is installed (nginx-dev)
# make client    the sensor client, build/d4
# make sensors   the passive DNS sensor, build/d4-pdns
# make install   copies the modules to nginx's directory of modules, and
#                d4-admin, which makes the first administrator, to sbindir
# make run       an instance of its own under run/, shown at work
# make stop      stops that instance; its data stays
# make test      everything that is tested; LONG=1 takes more time over it
# make bench     what this machine reaches
# make deps      installs the Debian packages that all of this needs
# make clean     removes build/
#
# V=1             shows the commands
# NGINX_SRC=DIR   builds for the nginx whose full sources are in DIR, with
#                 NGINX_FLAGS=... as that nginx was configured
# SANITIZE=1      builds with AddressSanitizer and UBSan, under build/asan
# DESTDIR=, modulesdir=, bindir=, sbindir=   where install, install-client
#                 and install-sensors copy to

SHELL = /bin/bash
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all modules test-modules client sensors unit tools fuzz install \
        install-client install-sensors run stop test bench deps clean help \
        FORCE

all: modules client

help:
	@sed -n '/^# /s/^# //p; /^$$/q' Makefile


# Debian packages

BUILD_PACKAGES = gcc libc6-dev libhiredis-dev libssl-dev uuid-dev \
                 libjansson-dev zlib1g-dev libcrypt-dev nginx \
                 libnginx-mod-stream $(if $(NGINX_SRC),,nginx-dev)
SENSOR_PACKAGES = libpcap-dev libldns-dev libfstrm-dev
RUN_PACKAGES   = redis-server openssl tcpdump curl unbound bind9-dnsutils
TEST_PACKAGES  = libcmocka-dev clang libclang-rt-dev perl \
                 libio-socket-ssl-perl dnsdbq gcc-s390x-linux-gnu \
                 libc6-dev-s390x-cross qemu-user dnscap nsd ldnsutils fstrm-bin \
                 iproute2 tshark wireshark-common softflowd libfixbuf-tools

deps:
	@conf/deps.sh $(BUILD_PACKAGES) $(SENSOR_PACKAGES) $(RUN_PACKAGES) \
	    $(TEST_PACKAGES)


# Where things are built, and how

ifneq ($(words $(CURDIR)),1)
$(error nginx cannot be built in a directory whose name has spaces)
endif

ifeq ($(SANITIZE),1)
B        = build/asan
OPTIMIZE = -g -O1 -fno-omit-frame-pointer
SAN      = -fsanitize=address,undefined -fno-sanitize-recover=undefined
else
B        = build
OPTIMIZE = -g -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SAN      =
endif

Q     = $(if $(filter 1,$(V)),,@)
QUIET = $(if $(filter 1,$(V)),,-s)
JOBS  = $(if $(findstring -j,$(MAKEFLAGS)),,-j2)

C_FLAGS  = -std=gnu11 $(OPTIMIZE) $(SAN) -Wall -Wextra -Werror \
           -I. -Ingx_d4_module -Ingx_d4_module/protocol \
           -Ingx_d4_module/storage -Ingx_d4_module/api -Ilookup/pdns \
           -Isensor $(CFLAGS)
LD_FLAGS = -Wl,-z,relro -Wl,-z,now $(SAN) $(LDFLAGS)


# The modules.  nginx's own configure and Makefile build them; both run in a
# directory of links to nginx's sources, because configure writes where it is,
# which an ordinary user may not do there.

MODULES  = ngx_d4_module.so ngx_stream_d4_module.so ngx_http_d4_module.so \
           ngx_http_pdns_module.so
TEST_MODULES = $(patsubst t/modules/%,ngx_d4_test_%_module.so, \
                 $(wildcard t/modules/*))
HEADERS  = $(wildcard ngx_d4_module/*.h ngx_d4_module/*/*.h lookup/*/*.h)

# when this changes, everything is configured again
$(B)/nginx/inputs: FORCE
	@mkdir -p $(@D)
	@{ echo "$(abspath $(NGINX_SRC)) $(NGINX_FLAGS)"; \
	   [ -n "$(NGINX_SRC)" ] || dpkg-query -W nginx-dev 2>&1; \
	   echo "$(CC) $(SAN) $(CFLAGS) $(LDFLAGS)"; \
	   echo "$(HEADERS) $(wildcard ngx_d4_module/*.c ngx_d4_module/*/*.c)"; \
	   echo "$(TEST_MODULES) $(wildcard lookup/*/*.c)"; \
	} > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(B)/nginx/Makefile: $(B)/nginx/inputs config conf/configure.sh
	@echo "  configure $(B)/nginx"
	$(Q)CC="$(CC)" CFLAGS="$(CFLAGS)" LDFLAGS="$(LDFLAGS)" \
	NGINX_FLAGS="$(NGINX_FLAGS)" SANITIZE="$(if $(SAN),$(OPTIMIZE) $(SAN))" \
	    conf/configure.sh $(B)/nginx $(NGINX_SRC)

modules: build_modules = $(MODULES)
test-modules: build_modules = $(TEST_MODULES)

modules test-modules: $(B)/nginx/Makefile
	@echo "  $@ $(B)"
	$(Q)$(MAKE) $(QUIET) $(JOBS) --no-print-directory -C $(B)/nginx/tree \
	    -f $(CURDIR)/$(B)/nginx/Makefile \
	    $(addprefix $(CURDIR)/$(B)/nginx/,$(build_modules))
	@# renamed into place: a running nginx keeps the file it has mapped
	$(Q)for so in $(build_modules); do \
	    cmp -s $(B)/nginx/$$so $(B)/$$so && continue; \
	    cp $(B)/nginx/$$so $(B)/$$so.new && mv $(B)/$$so.new $(B)/$$so \
	        || exit 1; \
	done


# Plain C: the client, test programs, tools

PROTOCOL := $(wildcard ngx_d4_module/protocol/*.c ngx_d4_module/storage/*.c \
                      ngx_d4_module/api/*.c)
PDNS     := $(wildcard lookup/pdns/pdns_*.c)
SENSOR   := $(wildcard sensor/*.c)
PDNS_SENSOR := $(wildcard sensor/pdns/*.c)
UNIT     := $(wildcard t/unit/test_*.c)
TOOLS    := $(wildcard t/tools/*.c t/bench/*.c)
FUZZ     := $(wildcard t/fuzz/*.c)

# the sensors are built where their libraries are
have_pdns_sensor := $(shell \
    printf '\#include <%s>\n' pcap.h ldns/ldns.h fstrm.h \
        | $(CC) $(CFLAGS) -E -o /dev/null - 2>/dev/null && echo yes)

ifeq ($(have_pdns_sensor),yes)
all: sensors
else
UNIT     := $(filter-out t/unit/test_pdns_sensor_%,$(UNIT))
FUZZ     := $(filter-out t/fuzz/fuzz_pdns_sensor.c,$(FUZZ))
endif

unit_programs = $(UNIT:t/unit/%.c=$(B)/t/unit/%)
tool_programs = $(addprefix $(B)/t/,$(notdir $(TOOLS:.c=)))
fuzz_programs = $(FUZZ:t/fuzz/%.c=build/t/fuzz/%)

objects = $(patsubst %.c,$(B)/c/%.o,$(1))

client: $(B)/d4
sensors: $(B)/d4-pdns
unit: $(unit_programs)
tools: $(tool_programs)
fuzz: $(fuzz_programs)

# nothing to say when they are up to date
client sensors unit tools fuzz:
	@:

$(B)/c/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  cc $@"
	$(Q)$(CC) $(C_FLAGS) -MMD -MP -c -o $@ $<

$(B)/libprotocol.a: $(call objects,$(PROTOCOL))
$(B)/libpdns.a: $(call objects,$(PDNS))
$(B)/libsensor.a: $(call objects,$(filter-out sensor/d4.c,$(SENSOR)))

$(B)/libpdnssensor.a: $(call objects,$(filter-out sensor/pdns/d4_pdns.c,$(PDNS_SENSOR)))

$(B)/lib%.a:
	$(Q)rm -f $@ && $(AR) rc $@ $^

$(B)/d4: $(call objects,sensor/d4.c) $(B)/libsensor.a $(B)/libprotocol.a
	@echo "  ld $@"
	$(Q)$(CC) $(LD_FLAGS) -o $@ $^ -lssl -lcrypto -luuid

$(B)/d4-pdns: $(call objects,sensor/pdns/d4_pdns.c) $(B)/libpdnssensor.a
	@echo "  ld $@"
	$(Q)$(CC) $(LD_FLAGS) -o $@ $^ -lpcap -lldns -lfstrm

$(B)/t/unit/test_pdns_sensor_%: $(B)/c/t/unit/test_pdns_sensor_%.o \
        $(B)/libpdnssensor.a
	@mkdir -p $(@D)
	@echo "  ld $@"
	$(Q)$(CC) $(LD_FLAGS) -o $@ $^ -lcmocka -lldns -lfstrm

$(B)/t/unit/%: $(B)/c/t/unit/%.o $(B)/libsensor.a $(B)/libpdns.a \
               $(B)/libprotocol.a
	@mkdir -p $(@D)
	@echo "  ld $@"
	$(Q)$(CC) $(LD_FLAGS) -o $@ $^ -lcmocka -lssl -lcrypto -luuid -ljansson \
	    -lz -lcrypt

define tool
$(B)/t/$(notdir $(1)): $(B)/c/$(1).o $(B)/libpdns.a $(B)/libprotocol.a
	@mkdir -p $$(@D)
	@echo "  ld $$@"
	$(Q)$$(CC) $$(LD_FLAGS) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) \
	    -lssl -lcrypto -ljansson -lz -lcrypt -lpthread
endef

$(foreach source,$(TOOLS:.c=),$(eval $(call tool,$(source))))

$(B)/t/d4load $(B)/t/d4ping: $(call objects,$(wildcard t/bench/lib/*.c))

# What fuzzers look into is compiled once, for all of them.

FUZZ_FLAGS   = -std=gnu11 -g -O1 -fno-sanitize-recover=undefined \
               -Wall -Wextra -Werror -I. -Ingx_d4_module \
               -Ingx_d4_module/protocol -Ingx_d4_module/storage \
               -Ingx_d4_module/api -Ilookup/pdns -Isensor
FUZZED       = $(filter-out %/d4_pdns.c %/pds_capture.c, \
                 $(PROTOCOL) $(PDNS) \
                 $(if $(have_pdns_sensor),$(PDNS_SENSOR)))
fuzz_objects = $(patsubst %.c,build/f/%.o,$(1))

build/f/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  clang $@"
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined \
	    -MMD -MP -c -o $@ $<

build/f/libfuzzed.a: $(call fuzz_objects,$(FUZZED))
	$(Q)rm -f $@ && $(AR) rc $@ $^

build/t/fuzz/%: build/f/t/fuzz/%.o build/f/libfuzzed.a
	@mkdir -p $(@D)
	@echo "  ld $@"
	$(Q)clang -fsanitize=fuzzer,address,undefined -o $@ $^ -lcrypto \
	    -ljansson -lz -lcrypt \
	    $(if $(findstring sensor,$@),-lldns -lfstrm)

.SECONDARY:
-include $(shell find $(B)/c build/f -name '*.d' 2>/dev/null)


# Installation

modulesdir = $(shell PATH="$$PATH:/usr/sbin" nginx -V 2>&1 \
                 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')
bindir     = /usr/local/bin
sbindir    = /usr/local/sbin

install: modules
	$(Q)[ -n "$(modulesdir)" ] \
	    || { echo "say where nginx keeps its modules: modulesdir=" >&2; exit 1; }
	$(Q)mkdir -p $(DESTDIR)$(modulesdir)
	$(Q)for so in $(MODULES); do \
	    install -m 644 $(B)/$$so $(DESTDIR)$(modulesdir)/.$$so.new \
	    && mv -f $(DESTDIR)$(modulesdir)/.$$so.new $(DESTDIR)$(modulesdir)/$$so \
	        || exit 1; \
	    echo "  $(DESTDIR)$(modulesdir)/$$so"; \
	done
	$(Q)mkdir -p $(DESTDIR)$(sbindir)
	$(Q)install -m 755 conf/d4-admin $(DESTDIR)$(sbindir)/d4-admin
	@echo "  $(DESTDIR)$(sbindir)/d4-admin"

install-client: client
	$(Q)mkdir -p $(DESTDIR)$(bindir)
	$(Q)install -m 755 $(B)/d4 $(DESTDIR)$(bindir)/d4
	@echo "  $(DESTDIR)$(bindir)/d4"

install-sensors: sensors
	$(Q)mkdir -p $(DESTDIR)$(bindir)
	$(Q)install -m 755 $(B)/d4-pdns $(DESTDIR)$(bindir)/d4-pdns
	@echo "  $(DESTDIR)$(bindir)/d4-pdns"


# The embedded instance

run:
	@conf/deps.sh $(BUILD_PACKAGES) $(SENSOR_PACKAGES) $(RUN_PACKAGES)
	@$(MAKE) --no-print-directory modules client sensors
	@conf/embedded.sh start

stop:
	@conf/embedded.sh stop


# Tests and figures

test:
	@conf/deps.sh $(BUILD_PACKAGES) $(SENSOR_PACKAGES) $(RUN_PACKAGES) \
	    $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory modules test-modules
	@$(MAKE) --no-print-directory $(JOBS) client sensors unit tools fuzz
	@$(MAKE) --no-print-directory SANITIZE=1 modules test-modules
	@$(MAKE) --no-print-directory SANITIZE=1 $(JOBS) client sensors unit
	@LONG=$(LONG) t/run.sh

bench:
	@conf/deps.sh $(BUILD_PACKAGES) $(RUN_PACKAGES) perl \
	    libio-socket-ssl-perl wrk
	@$(MAKE) --no-print-directory modules tools
	@rc=0; for part in bench dispatch api pdns; do \
	    perl t/bench/$$part.pl || rc=$$?; done; exit $$rc

clean:
	rm -rf build
