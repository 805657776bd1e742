// The pages of Postroom work without this script. It swaps <main> instead of loading documents, keeps
// the numbers fresh, and adds keys, modal dialogs and local times.
'use strict';
(() => {
  const root = document.documentElement;
  const mount = new URL(document.currentScript.src).pathname.replace(/\/assets\/.*$/, '');
  // The only HTML that becomes part of a document is that of our own pages.
  const policy = window.trustedTypes?.createPolicy('postroom', { createHTML: (html) => html });
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const main = () => document.getElementById('main');
  const say = (it, text) => { if (it.textContent !== text) it.textContent = text; };

  // Pages: fetched and swapped.

  const parsed = (html) => new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, 'text/html');

  // Numbers the swaps: an answer that came too late is dropped.
  let visits = 0;
  async function fetched(address, options = {}) {
    const response = await fetch(address, { ...options, headers: { accept: 'text/html', ...options.headers } });
    const kind = response.headers.get('content-type') || '';
    return { response, page: kind.startsWith('text/html') ? parsed(await response.text()) : null };
  }

  const remember = () => {
    const at = document.activeElement?.closest?.('[data-row]')?.dataset.row;
    history.replaceState({ ...history.state, y: scrollY, at }, '');
  };

  // Shows the page at an address. `push` is false on the way back, where scroll and focus return.
  async function go(address, { push = true, options, back, quiet } = {}) {
    const visit = ++visits;
    if (push) remember();
    root.dataset.busy = '';
    try {
      const { response, page } = await fetched(address, options);
      if (visit !== visits) return;
      isAway = response.status >= 500;
      const shown = page && one('#main', page);
      if (!shown || page.body.classList.contains('alone')) {
        location.assign(options ? response.url : address);
        return;
      }
      const url = new URL(response.url);
      url.hash = new URL(address, location.href).hash;
      if (push && url.href !== location.href) history.pushState({}, '', url);
      swap(page, { back, quiet, hash: url.hash });
    } catch {
      if (visit === visits) offline(() => options || go(address, { push, back, quiet }));
    } finally {
      if (visit === visits) delete root.dataset.busy;
    }
  }

  const kept = ['header.top .brand', 'header.top .menu.l', 'header.top .menu.me', 'nav.rail'];

  function swap(page, { back, quiet, hash } = {}) {
    document.title = page.title;
    document.body.className = page.body.className;
    for (const part of kept) {
      const [old, fresh] = [one(part), one(part, page)];
      if (old && fresh) old.replaceWith(document.adoptNode(fresh));
    }
    const open = quiet ? all('details[open]', main()).map((it) => path(it)) : [];
    main().replaceWith(document.adoptNode(one('#main', page)));
    for (const it of open) it && one(it)?.setAttribute('open', '');
    ready();
    if (quiet) return;
    if (back) {
      scrollTo(0, back.y || 0);
      const row = back.at && one(`[data-row="${CSS.escape(back.at)}"] :is(a, input)`);
      (row || main()).focus({ preventScroll: true });
      return;
    }
    const aim = hash && document.getElementById(decodeURIComponent(hash.slice(1)));
    if (aim) aim.scrollIntoView();
    else scrollTo(0, 0);
    (one('[autofocus]', main()) || one('dialog[open] :is(input:not([type=hidden]), button)', main()) || aim || main())
      .focus({ preventScroll: true });
    tell(document.title.replace(/ – Postroom$/, ''));
  }

  // A selector by which an element is found again in the fetched page.
  function path(element) {
    const row = element.closest('[data-row]');
    if (row && row !== element) return `[data-row="${CSS.escape(row.dataset.row)}"] ${element.localName}`;
    return element.id ? `#${CSS.escape(element.id)}` : null;
  }

  function offline(again) {
    const news = one('#live');
    if (news) { news.className = 'live bad'; say(one('span', news), 'no answer'); }
    tell('The daemon does not answer.', true);
    setTimeout(again, 3000);
  }

  const isOurs = (url) => url.origin === location.origin && (url.pathname + '/').startsWith(mount + '/')
    && !/^\/(api|assets|metrics|login|logout|look)(\/|$)/.test(url.pathname.slice(mount.length));

  addEventListener('click', (event) => {
    const copy = event.target.closest('[data-copy]');
    if (copy) {
      const text = copy.dataset.copy || one('code', copy.parentElement).textContent;
      navigator.clipboard.writeText(text).then(() => tell('Copied.'));
      return;
    }
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest('a[href]');
    for (const menu of all('details.menu[open]')) if (link || !menu.contains(event.target)) menu.open = false;
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (!isOurs(url) || (url.hash && url.pathname + url.search === location.pathname + location.search)) return;
    event.preventDefault();
    go(link.href);
  });

  addEventListener('submit', (event) => {
    const form = event.target;
    const url = new URL(event.submitter?.getAttribute('formaction') || form.getAttribute('action') || '', location.href);
    if (event.defaultPrevented || !isOurs(url)) return;
    event.preventDefault();
    if (form.dataset.save) clearTimeout(saving);
    const data = new URLSearchParams(new FormData(form, event.submitter));
    if ((event.submitter?.formMethod || form.method) === 'post') {
      go(url.href, { options: { method: 'POST', body: data } });
      return;
    }
    for (const [name, value] of [...data]) if (!value) data.delete(name, value);
    url.search = data;
    go(url.href);
  });

  addEventListener('popstate', (event) => go(location.href, { push: false, back: event.state || {} }));
  history.scrollRestoration = 'manual';

  // Freshness: a stream of values while the page is seen, and a fetch now and then.

  let stream = null;
  let topics = '';
  let newsAt = Date.now();
  let places = new Map();
  let fetchSoon = 0;
  let fetchedAt = Date.now();
  // True while the daemon answers that it cannot show the page.
  let isAway = false;

  function follow() {
    const wanted = document.hidden ? '' : main()?.dataset.topics?.split(' ').join(',') || '';
    if (wanted === topics && stream?.readyState !== 2) return;
    topics = wanted;
    stream?.close();
    stream = null;
    if (!topics) return;
    stream = new EventSource(`${mount}/api/v1/events?topics=${encodeURIComponent(topics)}`);
    const opened = stream;
    opened.onopen = () => { newsAt = Date.now(); sign(); };
    opened.onerror = () => {
      sign();
      // A stream that was refused is not opened again by the browser.
      if (opened.readyState === 2) setTimeout(() => stream === opened && follow(), 10000 + Math.random() * 5000);
    };
    opened.addEventListener('resync', () => refetch());
    for (const topic of topics.split(',')) {
      opened.addEventListener(topic, (event) => {
        newsAt = Date.now();
        const { values } = JSON.parse(event.data);
        for (const key in values) put(`${topic}/${key}`, values[key]);
        sign();
      });
    }
  }

  // Puts a value in its place. Where more than a text depends on it, the page is fetched again.
  function put(key, value) {
    for (const place of places.get(key) || []) {
      if (place.dataset.live !== key || !place.isConnected) continue;
      if (place.hasAttribute('data-whole')) {
        if (place.dataset.whole !== value) { place.dataset.whole = value; refetchSoon(); }
        continue;
      }
      const number = /^\d+(\.\d+)?$/.test(value);
      const text = /^\d{4,}$/.test(value) ? Number(value).toLocaleString('en') : value || '–';
      say(place, text);
      place.classList.toggle('z', !value || (number && !Number(value)));
      const badge = place.closest('[data-badge]');
      if (badge) badge.hidden = !value || value === '0';
    }
  }

  function sign() {
    const news = one('#live');
    if (!news) return;
    const isLive = stream?.readyState === 1 && !isAway;
    const at = new Date(newsAt).toLocaleTimeString();
    const isOld = !isLive && Date.now() - newsAt > 12000;
    news.className = `live ${isLive ? 'good' : isOld ? 'warn' : 'wait'}`;
    const text = isLive ? 'live' : isOld ? `as of ${at}` : 'every 10 s';
    say(one('span', news), text);
    root.toggleAttribute('data-stale', isOld);
  }

  const refetchSoon = () => { fetchSoon ||= setTimeout(() => { fetchSoon = 0; refetch(); }, Math.max(300, 2000 - Date.now() + fetchedAt)); };

  // Fetches the page and puts in place what has changed. Rows stay where they are; new ones are announced.
  async function refetch() {
    // What is about to be shown is fresh.
    if (document.hidden || one('dialog:modal') || 'busy' in root.dataset) return;
    const visit = visits;
    fetchedAt = Date.now();
    let answer;
    try { answer = await fetched(main()?.dataset.from || location.href); } catch { return sign(); }
    const fresh = answer.page && one('#main', answer.page);
    if (visit !== visits || !fresh || answer.page.body.classList.contains('alone')) return;
    isAway = answer.response.status >= 500;
    if (isAway) return sign();
    newsAt = Date.now();
    // A page that could not be shown before.
    if (one('.problem', main()) && answer.response.ok) { swap(answer.page, { quiet: true }); return; }
    const focus = document.activeElement;
    for (const old of all('[data-part]', main())) {
      const part = one(`[data-part="${CSS.escape(old.dataset.part)}"]`, fresh);
      if (!part || old.isEqualNode(part) || old.contains(focus) || old.matches(':hover:has(.hair)')) continue;
      // A text that somebody may have typed is kept.
      if (one('textarea, [open] [name=hint]', old)) continue;
      const { tell: news } = part.dataset;
      if (news && news !== old.dataset.tell) tell(news);
      const folds = all('details', part);
      all('details', old).forEach((it, at) => it.open && folds[at]?.setAttribute('open', ''));
      old.replaceWith(document.adoptNode(part));
    }
    const [brand, freshBrand] = [one('header .brand'), one('header .brand', answer.page)];
    if (brand && freshBrand && !brand.contains(focus)) brand.replaceWith(document.adoptNode(freshBrand));
    const rows = new Map(all('[data-row]', main()).map((row) => [row.dataset.row, row]));
    let count = 0;
    const freshRows = all('[data-row]', fresh);
    for (const row of freshRows) {
      const old = rows.get(row.dataset.row);
      if (!old) { count += 1; continue; }
      if (old.isEqualNode(row) || old.contains(focus) || one(':checked, details[open]', old)) continue;
      old.replaceWith(document.adoptNode(row));
    }
    announce(rows.size ? count : 0, count === freshRows.length);
    if (!rows.size && freshRows.length) swap(answer.page, { quiet: true });
    else { ready(true); sign(); }
  }

  // `isAll` if the whole fetched page is new: then there may be more.
  function announce(count, isAll) {
    const place = one('[data-new]');
    if (!place) return;
    const many = isAll ? `${count}+` : count;
    place.hidden = !count;
    const text = `${many} new, show`;
    if (count && place.textContent !== text) { place.textContent = text; tell(`${many} new. Press . to show.`); }
  }

  addEventListener('visibilitychange', () => {
    follow();
    if (!document.hidden) refetch();
  });
  setInterval(() => {
    if (document.hidden || !main()) return;
    const every = Number(main().dataset.refresh || 0) || (stream?.readyState === 1 && !isAway ? 30 : 10);
    if (Date.now() - fetchedAt > every * 1000) refetch();
    follow();
    sign();
  }, 1000);

  // What is told to those who do not see the page: at most one message in five seconds.

  let toldAt = 0;
  let toldNext = 0;
  function tell(text, isUrgent) {
    const place = one('#told');
    if (!place) return;
    clearTimeout(toldNext);
    toldNext = setTimeout(() => {
      toldAt = Date.now();
      place.ariaLive = isUrgent ? 'assertive' : 'polite';
      place.textContent = text;
    }, isUrgent ? 0 : Math.max(0, toldAt + 5000 - Date.now()));
  }

  // Times: in the reader's zone, and counted on.

  function span(ms) {
    const s = Math.floor(ms / 1000);
    if (s < 1) return `${Math.max(0, Math.round(ms))} ms`;
    if (s < 60) return `${s} s`;
    if (s < 600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h` + (s % 3600 < 60 ? '' : ` ${Math.floor((s % 3600) / 60)} min`);
    if (s < 864000) return `${Math.floor(s / 86400)} d` + (s % 86400 < 3600 ? '' : ` ${Math.floor((s % 86400) / 3600)} h`);
    return `${Math.floor(s / 86400)} d`;
  }

  // The clock of the daemon, as far as the page tells it.
  const lag = () => Number(main()?.dataset.now || Date.now()) - Number(main()?.dataset.got || Date.now());
  const local = (at, options) => new Intl.DateTimeFormat(undefined, { hourCycle: 'h23', ...options }).format(at);
  const time = { hour: '2-digit', minute: '2-digit', second: '2-digit' };

  function tick() {
    const now = Date.now() + lag();
    for (const it of all('[data-ago], [data-since], [data-left]')) {
      const ms = now - Date.parse(it.dateTime);
      const text = it.hasAttribute('data-since') ? span(Math.max(0, ms))
        : it.hasAttribute('data-left') ? span(Math.max(0, -ms))
        : Math.abs(ms) < 1000 ? 'now' : ms >= 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
      say(it, text);
      // What can no longer be done goes away, such as an undo.
      if (it.hasAttribute('data-left') && ms > 0) it.closest('[data-until]')?.remove();
    }
  }
  setInterval(tick, 1000);

  function clocks() {
    const today = local(Date.now(), { dateStyle: 'short' });
    for (const it of all('time[data-clock]')) {
      const at = new Date(it.dateTime);
      const isToday = local(at, { dateStyle: 'short' }) === today;
      it.textContent = local(at, it.dataset.clock === 'hm' ? { hour: '2-digit', minute: '2-digit' } : isToday ? time : { day: 'numeric', month: 'short', ...time, second: undefined });
    }
    for (const it of all('text[data-at]')) it.textContent = local(new Date(it.dataset.at), { hour: '2-digit', minute: '2-digit' });
  }

  // Dialogs: modal, and left by Esc.

  function dialogs() {
    for (const it of all('dialog[open]', main())) {
      if (it.matches(':modal')) continue;
      it.close();
      it.showModal();
      it.addEventListener('cancel', (event) => {
        event.preventDefault();
        const leave = one('[data-leave]', it);
        if (leave) go(leave.href); else it.close();
      });
    }
  }

  // Text that is typed is saved two seconds later: <form data-save>.

  let saving = 0;
  addEventListener('input', (event) => {
    const form = event.target.closest('form[data-save]');
    if (event.target.matches('[data-count]')) {
      const place = one(`[data-count-of="${event.target.name}"]`);
      if (place) place.textContent = [...event.target.value].length;
    }
    if (event.target.matches('[data-typed]')) {
      for (const it of all('button[data-needs-typed]')) it.disabled = event.target.value.trim() !== event.target.dataset.typed;
    }
    const range = event.target.matches('[data-with]') && document.getElementById(event.target.dataset.with);
    if (range) range.value = event.target.value;
    if (!form) return;
    const place = one('[data-saved]', form);
    if (place) place.textContent = 'not saved yet';
    clearTimeout(saving);
    saving = setTimeout(async () => {
      try {
        const body = new URLSearchParams(new FormData(form));
        const { response, page } = await fetched(form.dataset.save, { method: 'POST', body });
        const clash = page && one('[data-why]', page);
        const why = page && (clash || one('.problem .say', page))?.textContent;
        if (place) place.textContent = response.ok ? 'saved' : clash ? 'not saved' : why || 'not saved';
        if (page) one('[data-why]')?.remove();
        if (clash) form.before(document.adoptNode(clash));
        // What the daemon says of the text, such as how long it may be.
        for (const it of all('[data-fresh]', form)) {
          const fresh = response.ok && one(`#${it.id}`, page);
          if (fresh) it.replaceWith(document.adoptNode(fresh));
        }
        const mark = page && one('[name=version]', page);
        if (response.ok && mark && form.elements.version) form.elements.version.value = mark.value;
        if (!response.ok) tell(why || 'The text is not saved.', true);
      } catch { if (place) place.textContent = 'not saved: no answer'; }
    }, 2000);
  });

  // Keys. They act outside of fields only, and can be switched off.

  // When `g` was pressed.
  let before = 0;
  const rowsOf = () => all('main .who, main tbody tr[data-row]').filter((it) => it.offsetParent);
  function move(by) {
    const rows = rowsOf();
    if (!rows.length) return;
    const old = rows.findIndex((it) => it.classList.contains('at') || it.contains(document.activeElement));
    const next = rows[Math.min(rows.length - 1, Math.max(0, old < 0 ? 0 : old + by))];
    for (const it of rows) it.classList.toggle('at', it === next && it.localName === 'tr');
    (next.matches('a') ? next : one('a, input', next))?.focus();
    next.scrollIntoView({ block: 'nearest' });
  }

  const keys = {
    '/': () => one('#find')?.focus(),
    '?': help,
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = one('[type=checkbox]', rowsOf().find((it) => it.contains(document.activeElement)) || main()); box?.click(); },
    X: () => one('[data-all]')?.click(),
    '.': () => one('[data-new]:not([hidden])')?.click(),
    L: () => navigator.clipboard?.writeText(location.href).then(() => tell('Link copied.')),
  };

  addEventListener('keydown', (event) => {
    const at = event.target;
    if (event.key === 'Escape') {
      if (one('details.menu[open]')) for (const it of all('details.menu[open]')) it.open = false;
      else if (at.matches('input, textarea, select')) at.blur();
      return;
    }
    if (at.matches('textarea') && event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      const press = one('[data-enter]', at.form || document);
      if (press) { event.preventDefault(); press.click(); }
      return;
    }
    const inField = at.matches('input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]');
    if (root.dataset.keys === 'off' || inField || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (one('dialog:modal')) return;
    const isGo = Date.now() - before < 1500;
    before = 0;
    const link = isGo && one(`.rail [data-go="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); go(link.href); return; }
    if (event.key === 'g') { before = Date.now(); return; }
    // Those that stand in a row act on the row with the focus.
    const row = at.closest('tr');
    const own = event.key.length === 1 && all(`main [data-key="${CSS.escape(event.key)}"]`).find((it) => !it.disabled && it.checkVisibility() && (it.closest('tr') ?? row) === row);
    if (own) { event.preventDefault(); if (own.matches('textarea, input')) own.focus(); else own.click(); if (own.matches('[data-then]')) one('input:not([type=hidden])', own.parentElement)?.focus(); return; }
    const action = Object.hasOwn(keys, event.key) && keys[event.key];
    if (action) { event.preventDefault(); action(); }
  });

  // All keys, from the page itself: those of every page, and those of its own buttons.
  function help() {
    const list = document.createElement('dialog');
    const add = (parent, name, text, className) => {
      const it = document.createElement(name);
      if (text) it.textContent = text;
      if (className) it.className = className;
      return parent.appendChild(it);
    };
    list.ariaLabel = 'Keys';
    add(list, 'h2', 'Keys');
    const table = add(list, 'dl', '', 'dl mt');
    const row = (key, text) => { add(add(table, 'dt'), 'kbd', key); add(table, 'dd', text); };
    for (const it of new Map(all('main [data-key]').map((it) => [it.dataset.key, it])).values()) row(it.dataset.key, it.dataset.keyName || it.textContent.replace(/\s+/g, ' ').trim().slice(0, 60));
    for (const [key, text] of Object.entries({ '/': 'search', j: 'next row', k: 'row before', x: 'select the row', X: 'retry all that match',
      '.': 'show what is new', L: 'copy the link of this page', '?': 'these keys' })) row(key, text);
    for (const it of all('.rail > ul > li:not(.only) [data-go]')) row(`g ${it.dataset.go}`, one('span', it).textContent);
    const close = add(add(list, 'p', '', 'mt'), 'button', 'Close', 'btn');
    close.onclick = () => list.close();
    list.onclose = () => list.remove();
    document.body.append(list);
    list.showModal();
  }

  // Charts: a line under the pointer, and the values at that time.

  function hover(event) {
    const plot = event.target.closest?.('svg.plot[data-top]');
    for (const it of all('.plot .hair')) if (it.closest('svg') !== plot) { restore(it.closest('figure')); it.remove(); }
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    let hair = one('.hair', plot);
    if (!hair) {
      hair = document.createElementNS('http://www.w3.org/2000/svg', 'line');
      hair.setAttribute('class', 'hair');
      hair.setAttribute('y1', 18);
      hair.setAttribute('y2', 90);
      plot.append(hair);
    }
    for (const end of ['x1', 'x2']) hair.setAttribute(end, `${share * 100}%`);
    const paths = all('path', plot).reverse();
    all('.key li', plot.closest('figure')).forEach((line, at) => {
      const place = one('b', line);
      place.dataset.last ??= place.textContent;
      const value = paths[at] && valueAt(paths[at].getAttribute('d'), share * 240, Number(plot.dataset.top));
      place.textContent = value == null ? '–' : Number(value.toPrecision(3)).toLocaleString('en') + (place.dataset.unit || '');
    });
    const [from, to] = all('text[data-at]', plot).map((it) => Date.parse(it.dataset.at));
    const caption = one('figcaption', plot.closest('figure'));
    caption.dataset.last ??= caption.textContent;
    caption.textContent = `${caption.dataset.last}, ${local(from + (to - from) * share, { hour: '2-digit', minute: '2-digit' })}`;
  }

  function restore(figure) {
    for (const it of all('[data-last]', figure)) { it.textContent = it.dataset.last; delete it.dataset.last; }
  }

  // The value that a path shows at x: its nearest point, or the height of its nearest bar.
  function valueAt(d, x, top) {
    let best = null;
    let near = 12;
    for (const [, px, py, height] of d.matchAll(/[ML]([\d.]+) ([\d.]+)(?:v-([\d.]+))?/g)) {
      const far = Math.abs(px - x);
      if (far < near) { near = far; best = height === undefined ? (72 - py) / 72 * top : height / 72 * top; }
    }
    return best;
  }
  addEventListener('pointermove', hover, { passive: true });

  // What every page needs once it is there.
  function ready(isPart) {
    places = new Map();
    for (const it of all('[data-live]')) places.set(it.dataset.live, [...(places.get(it.dataset.live) || []), it]);
    if (!isPart && main()) { main().dataset.got = Date.now(); fetchedAt = newsAt = Date.now(); }
    for (const it of all('button[data-copy]')) it.hidden = !navigator.clipboard;
    // Safari forgets what a table is once its rows are laid out as a grid.
    for (const [selector, role] of [['.t', 'table'], ['.t tr', 'row'], ['.t td', 'cell'], ['.t tbody th', 'rowheader'], ['.t thead th', 'columnheader']]) {
      for (const it of all(selector)) it.role ||= role;
    }
    clocks();
    tick();
    if (!isPart) { dialogs(); follow(); sign(); }
  }
  ready();
})();

// A one-time code stands behind the `#` of a link to the sign-in: browsers send that part to nobody.
const login = document.getElementById('login');
if (login && location.hash.length > 1) {
  login.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, '', location.pathname + location.search);
  login.submit();
}
