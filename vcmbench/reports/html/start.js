if (legend) {
  startLegend();
  startCharts();
  startTradeOff();
  startSlices();
  startImages();
  addEventListener("popstate", followAddress);
  followAddress();
}
