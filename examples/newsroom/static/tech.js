// The pages of 弧光科技: fetch the data, then build the page a moment later, as a slow framework would.
"use strict";

const DELAY = 120; // milliseconds between the data and the page
const app = document.getElementById("app");

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function link(className, href, text) {
  const made = element("a", className, text);
  made.href = href;
  return made;
}

function showList(data) {
  document.title = "最新 - 弧光科技";
  const list = element("div", "cards");
  for (const item of data.items) {
    const card = element("div", "card");
    card.append(link("card-link", item.url, item.title), element("p", "brief", item.brief + "…"), element("span", "when", item.time));
    list.append(card);
  }
  app.append(list);
  if (data.more) app.append(link("more", data.more, "查看更多"));
}

function showArticle(data) {
  document.title = data.title + " - 弧光科技";
  const canonical = element("link");
  canonical.rel = "canonical";
  canonical.href = location.origin + data.url;
  document.head.append(canonical);
  const article = element("article");
  article.append(element("h1", "", data.title));
  article.append(element("div", "byline", `${data.time}　作者 ${data.author}　来源 ${data.source} · 责编 ${data.editor}`));
  const rich = element("div", "rich");
  for (const paragraph of data.paragraphs) rich.append(element("p", "", paragraph));
  article.append(rich);
  const social = element("div", "social", "喜欢就分享给朋友 · 点赞 · 收藏 · 在看");
  const others = element("div", "others");
  others.append(element("h3", "", "推荐阅读"));
  for (const item of data.related) others.append(link("other", item.url, item.title));
  app.append(article, social, others);
}

async function main() {
  const [, section, number] = location.pathname.split("/");
  const isArticle = section === "p";
  const answer = await fetch(isArticle ? `/api/post/${number}` : `/api/list/${number || 1}`);
  const data = await answer.json();
  setTimeout(() => {
    if (!answer.ok) app.append(element("p", "error", data.error));
    else if (isArticle) showArticle(data);
    else showList(data);
    app.dataset.state = answer.ok ? "ready" : "missing";
  }, DELAY);
}

main();
