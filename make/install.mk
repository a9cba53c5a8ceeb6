# install.mk - what `make install` puts where, and the Debian package of it.

PREFIX    ?= /usr/local
BINDIR    ?= $(PREFIX)/bin
DATADIR   ?= $(PREFIX)/share/convd
DOCDIR    ?= $(PREFIX)/share/doc/convd
UNITDIR   ?= $(PREFIX)/lib/systemd/system
MANDIR    ?= $(PREFIX)/share/man
BASHDIR   ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR    ?= $(PREFIX)/share/zsh/site-functions
FISHDIR   ?= $(PREFIX)/share/fish/vendor_completions.d

# The manual pages are made from what the binary says of itself, so they are never of other flags than it has.
PAGES := $(BUILD)/man/convd.1 $(BUILD)/man/convd.8
$(PAGES): $(BUILD)/man/%: systemd/man/%.in $(BUILD)/convd scripts/make-man
	@mkdir -p $(@D)
	$(call say,MAN) scripts/make-man $(BUILD)/convd $< > $@.tmp && mv $@.tmp $@
.PHONY: man
man: $(PAGES) ## the manual pages: man build/man/convd.1

UNITS := convd@.service convd@.socket
EXAMPLE_FOLDERS := $(filter-out %/__pycache__/,$(wildcard examples/*/))
EXAMPLE_LIBRARIES := examples/convd.sh examples/convd_client.py examples/picture.py
.PHONY: install uninstall
install: all man ## install under $(DESTDIR)$(PREFIX)
	install -D -m 755 $(BUILD)/convd "$(DESTDIR)$(BINDIR)/convd"
	install -d "$(DESTDIR)$(UNITDIR)" "$(DESTDIR)$(DOCDIR)"
	for unit in $(UNITS); do \
	    sed 's|@BINDIR@|$(BINDIR)|g; s|@DOCDIR@|$(DOCDIR)|g' systemd/$$unit > "$(DESTDIR)$(UNITDIR)/$$unit" && \
	    chmod 644 "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; \
	done
	install -D -m 644 $(BUILD)/man/convd.1 "$(DESTDIR)$(MANDIR)/man1/convd.1"
	install -D -m 644 $(BUILD)/man/convd.8 "$(DESTDIR)$(MANDIR)/man8/convd.8"
	install -D -m 644 systemd/completion/convd.bash "$(DESTDIR)$(BASHDIR)/convd"
	install -D -m 644 systemd/completion/_convd "$(DESTDIR)$(ZSHDIR)/_convd"
	install -D -m 644 systemd/completion/convd.fish "$(DESTDIR)$(FISHDIR)/convd.fish"
	install -m 644 README.md LICENSE "$(DESTDIR)$(DOCDIR)"
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)/docs" $(wildcard docs/*.md)
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)/web/pictures" $(wildcard web/pictures/*.png)
	for folder in $(EXAMPLE_FOLDERS); do install -D -m 644 -t "$(DESTDIR)$(DATADIR)/$$folder" $$folder* || exit 1; done
	install -m 644 examples/README.md $(EXAMPLE_LIBRARIES) "$(DESTDIR)$(DATADIR)/examples"
	install -m 755 $(filter-out $(EXAMPLE_LIBRARIES),$(wildcard examples/*.sh examples/*.py)) "$(DESTDIR)$(DATADIR)/examples"
uninstall: ## remove what install put there; models and /etc/convd stay
	rm -f "$(DESTDIR)$(BINDIR)/convd" $(foreach unit,$(UNITS),"$(DESTDIR)$(UNITDIR)/$(unit)") "$(DESTDIR)$(BASHDIR)/convd"
	rm -f "$(DESTDIR)$(ZSHDIR)/_convd" "$(DESTDIR)$(FISHDIR)/convd.fish"
	rm -f "$(DESTDIR)$(MANDIR)/man1/convd.1" "$(DESTDIR)$(MANDIR)/man8/convd.8"
	rm -rf "$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(DATADIR)"

.PHONY: image
image: deb ## an OCI image of that package and its libraries, in build/image
	@scripts/deps image
	@mkdir -p $(BUILD)/image && scripts/make-image "$$(ls -t $(BUILD)/deb/convd_*.deb | head -n 1)" $(BUILD)/image

.PHONY: deb
deb: ## a Debian package of it all, in build/deb
	@scripts/deps build deb
	@$(MAKE) --no-print-directory all man
	@mkdir -p $(BUILD)/deb && scripts/make-deb $(BUILD) $(BUILD)/deb
